"""A model as files: weights, manifest and the environment it was made in."""
