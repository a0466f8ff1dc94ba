"""Data versions written for other tools, one module a format, read back before anything is delivered."""
