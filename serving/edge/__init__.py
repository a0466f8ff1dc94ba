"""The small server of a bundle: the same answers at the edge without torch, and a cloud service behind it."""
