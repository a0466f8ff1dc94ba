"""COCO files in: read, validated and mended."""
