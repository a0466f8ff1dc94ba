"""One network trained by one process and by several: what more workers are worth on a machine."""
