"""Many images segmented by one model: on this computer in several processes, or on a cluster."""
