"""Scores of fused files and of models, compared with intervals and with published rows."""
