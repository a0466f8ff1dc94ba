"""What a data version's labels show without any model: repeats, copies, outliers, a table of its classes."""
