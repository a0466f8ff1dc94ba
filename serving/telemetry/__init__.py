"""Prometheus figures and traces."""
