"""Migrations of one store, oldest first."""
