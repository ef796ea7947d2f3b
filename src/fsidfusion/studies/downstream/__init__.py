"""What fused pictures are good for: detectors and segmenters trained on them, by one fixed protocol."""
