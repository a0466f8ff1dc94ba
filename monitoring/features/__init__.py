"""The table of drift features: numbers about a picture and about what the model found in it."""
