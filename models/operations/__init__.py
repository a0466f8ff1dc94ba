"""Tensor operations that the network, the loading and the answering share."""
