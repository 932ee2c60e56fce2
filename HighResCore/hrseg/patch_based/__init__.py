"""The baseline: a residual U-Net over overlapping windows, what every claim is measured against."""
