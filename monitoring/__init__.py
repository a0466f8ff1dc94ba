"""The sample log, features, windows, the drift decision and its Evidently report."""
