"""A batch becomes part of the data: planned, split, audited and written."""
