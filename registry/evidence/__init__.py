"""What a reviewer reads: diagnosis, charts and the approval page."""
