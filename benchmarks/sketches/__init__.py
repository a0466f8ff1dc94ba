"""Drift over many samples: sketches beside Evidently, an exact test and an exact maximum mean discrepancy."""
