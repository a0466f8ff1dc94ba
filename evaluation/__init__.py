"""Pure NumPy: matching, COCO AP, per-class mask IoU, paired bootstrap, error types, calibration, overlays."""
