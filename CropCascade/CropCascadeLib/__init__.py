"""The parts of the CropCascade module, one per file. Importing this package imports none of them."""
