"""Ray starts the processes of a training, or of a search over settings, and starts them again."""
