"""Ways to see that a part of a window comes from a new camera, whose samples do not carry their source."""
