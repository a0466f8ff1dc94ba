"""The story of `maskloop demo`, and who labels the pictures in it."""
