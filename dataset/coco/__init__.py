"""COCO files: read, validated and corrected."""
