"""The parts of the OSSNet module, one per file. Importing this package imports none of them."""
