"""Instances followed through the frames of a video, smoothed, and how steady they are."""
