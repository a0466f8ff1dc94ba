"""What commands do: one module for each group of them, and `main.py`, which lists them all."""
