"""Parts of every HTML page: one way to open templates, pictures inside the page, class colours."""
