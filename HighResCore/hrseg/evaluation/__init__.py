"""How good a segmentation is: metrics per case, summaries, paired comparisons and reports with pictures."""
