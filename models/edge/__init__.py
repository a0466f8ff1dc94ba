"""An export run without torch: what lies between its networks, in NumPy."""
