"""A video answered frame by frame, its instances followed and smoothed: `maskloop video`."""
