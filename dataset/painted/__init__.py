"""Masks painted as pictures: which file shows which objects, and the layout of Pascal VOC."""
