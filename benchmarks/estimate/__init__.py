"""How far estimates of quality without labels are from what labels say, under known and real shifts."""
