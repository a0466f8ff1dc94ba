"""Training examples: read, augmented, mixed and batched."""
