"""The loop: cycles are opened, worked on, reconciled with what is due, and closed."""
