"""Cost of taking pictures in, as the data grow."""
