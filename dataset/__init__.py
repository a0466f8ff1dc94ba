"""What a sample is: COCO in, validation, split, fingerprint, DVC revision, synthetic generator."""
