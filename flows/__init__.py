"""The stories of the loop, the command line and the wiring. Only this package acts."""
