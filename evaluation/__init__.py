"""Pure NumPy: matching, COCO AP, per-class mask IoU, paired bootstrap, curves, overlays."""
