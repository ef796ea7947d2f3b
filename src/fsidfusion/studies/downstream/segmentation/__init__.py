"""Semantic segmentation: masks and classes, one small network, its training, scores and comparison."""
