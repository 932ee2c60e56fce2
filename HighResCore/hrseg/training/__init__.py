"""Training: data lists, augmentation, and one loop for all methods. Needs the optional extra ``train``."""
