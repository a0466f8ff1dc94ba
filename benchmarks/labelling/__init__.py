"""Learning curves: how good a champion becomes with few labels, by how they were chosen."""
