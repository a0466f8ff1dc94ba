"""What each command does: one module for each group of them, and `main.py`, which lists them all."""
