"""The parts of the SRSegmentation module, one per file. Importing this package imports none of them."""
