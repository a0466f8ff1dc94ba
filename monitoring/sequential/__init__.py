"""The sequential drift detector: evidence over time, with a stated mean run length to a false alarm."""
