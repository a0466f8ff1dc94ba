"""Video files: decoded frame by frame in a child process, and written."""
