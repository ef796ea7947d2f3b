"""Two-stage training."""
