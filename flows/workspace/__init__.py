"""The composition root and the servers and notes of a workspace."""
