"""The whole table of speed and growth in one command, each row beside its peer."""
