"""The drift verdict: references, tests, causes and what triggers a retraining."""
