"""The terminal: groups of commands, and where an answer is printed."""
