"""Readers of label formats, one a module, and the table that chooses one by content."""
