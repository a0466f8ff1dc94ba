"""Mergeable summaries of production samples by hour, in flat memory, and drift over long periods."""
