"""Batches: every tile once while workers are killed, and tiles beside whole pictures."""
