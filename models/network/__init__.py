"""The network: torchvision's Mask R-CNN, its heads, and faster replacements of its parts."""
