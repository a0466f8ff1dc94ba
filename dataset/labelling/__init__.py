"""Labelling tools: pictures go there as tasks, labels come back as annotations."""
