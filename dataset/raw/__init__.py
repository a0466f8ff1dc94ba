"""Pictures as their files store them, more than 8 bits or many bands, and how they become 8-bit RGB."""
