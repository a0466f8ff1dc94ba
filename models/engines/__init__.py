"""Which library runs a model's networks on this machine, found by measuring."""
