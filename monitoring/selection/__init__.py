"""Which production pictures are worth a label: unsure, drifted, unlike each other, or drawn at random."""
