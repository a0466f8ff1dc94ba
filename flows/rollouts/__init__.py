"""A challenger gets its traffic step by step; what it failed on is kept as slices."""
