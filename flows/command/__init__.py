"""The commands: one module for each group of them, and `main.py`, the table that lists them all."""
