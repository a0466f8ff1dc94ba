"""M1 to M10, by which a Mask R-CNN in production is watched: gathered, compared with targets, shown."""
