"""Which answers become production samples."""
