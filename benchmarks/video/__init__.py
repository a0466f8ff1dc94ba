"""Figures of `maskloop video` on films whose truth is known."""
