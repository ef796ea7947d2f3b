"""Time and memory of networks, metrics and training, as ratios within one run."""
