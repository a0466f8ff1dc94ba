"""How fast maskloop trains, predicts, cuts masks and evaluates, beside stock torchvision and pycocotools."""
