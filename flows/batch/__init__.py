"""Very many pictures, and very large ones, answered in one resumable run: `maskloop batch`."""
