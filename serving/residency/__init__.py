"""Which models are in memory: a budget, whose turn it is to be there, and who makes room."""
