"""The validation pictures during a training: loss, IoU and when to stop."""
