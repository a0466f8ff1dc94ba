"""Production samples and corrections, and the windows they are judged in."""
