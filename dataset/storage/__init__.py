"""DVC's objects in cache and remote, and git, each judged by its effect."""
