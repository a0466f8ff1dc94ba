"""What the three views cost with years of history: seconds, bytes, and the time in a browser."""
