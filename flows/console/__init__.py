"""What all commands share: groups that import a command when it is used, and the output of an answer."""
