"""Exports: models in other formats with their measured speed, data versions for other tools."""
