"""The loop on real photographs, with figures for docs/results.md."""
