"""Data versions in DVC and git, and what differs between them."""
