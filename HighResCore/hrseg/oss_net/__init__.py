"""OSS-Net: the segmentation as a continuous occupancy field that can be asked at any point, region and resolution."""
