"""The newest production samples are compared with the champion's own pictures."""
