"""Models answer: the service, `predict`, and the pictures that are asked about."""
