"""Exports of a model to other formats, and their measured speed."""
