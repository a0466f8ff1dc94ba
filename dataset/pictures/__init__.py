"""Picture files: decoded in a child process, turned, stripped of places."""
