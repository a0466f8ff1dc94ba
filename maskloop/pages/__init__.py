"""Parts of every HTML page: one way to open templates, and pictures inside the page."""
