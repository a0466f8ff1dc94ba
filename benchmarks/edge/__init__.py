"""A bundle beside the full service: start, memory, and pictures for a CPU second."""
