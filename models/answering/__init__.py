"""Predictions: a picture to instances, and instances to JSON."""
