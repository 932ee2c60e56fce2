"""What the modules share on the side of Slicer: nodes to images and boxes, and results to nodes."""
