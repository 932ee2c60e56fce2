"""Segment-then-Segment (Benčević et al., Sensors 2023, 23(2):633): a coarse network finds objects, crops of the
full-resolution image with context go to a second network, the masks are joined.
"""
