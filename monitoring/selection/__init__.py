"""Which production pictures are worth a label: unsure, drifted, of a class in need, or drawn at random."""
