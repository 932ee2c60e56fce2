"""SASR-Net: masks of lesions at a multiple of the image's resolution (Luo et al., TNNLS 2024)."""
