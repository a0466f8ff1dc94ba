"""How fast maskloop predicts, cuts masks and evaluates, beside stock torchvision and pycocotools."""
