"""The demo pictures, drawn from a seed."""
