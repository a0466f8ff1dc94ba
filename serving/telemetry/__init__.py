"""Prometheus figures, traces and log lines on their way out."""
