"""Long runs that may be killed at any moment: the folder of one, its model, its answers and what it cost."""
