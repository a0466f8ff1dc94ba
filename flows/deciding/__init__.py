"""Approval and rejection of a candidate, promotion and rollback."""
