"""What readers of label formats share: the port, archives, and shapes drawn into masks."""
