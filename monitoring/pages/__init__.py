"""The drift page and Evidently's report."""
