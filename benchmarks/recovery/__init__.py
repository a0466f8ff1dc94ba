"""How much of its accuracy a champion regains on a new source with 50 labels, by how it is retrained."""
