"""Fusion metrics on 8-bit gray images: one table of them, and ``score`` to compute a choice on one pair.

NumPy in float64, exact, the contract; ``batched`` has torch twins for losses and batches, tested against it.
"""

from fsidfusion.metrics.gray import GrayImage, to_gray8
from fsidfusion.metrics.table import DEFAULT, METRICS, Metric, find_metric, mean_scores, score

__all__ = ["DEFAULT", "METRICS", "GrayImage", "Metric", "find_metric", "mean_scores", "score", "to_gray8"]
