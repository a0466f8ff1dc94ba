"""The databases of a workspace: one way to open them, in SQLite or PostgreSQL, and their migrations."""
