"""Small pictures with structure, as training pairs."""

import numpy as np

from fsidfusion.training.patches import SourcePair, split_of


def textured(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth random uint8 picture with structure at several scales."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width))
    for cells in (2, 4, 8):
        coarse = rng.random((height // 8 * cells // 2 + 2, width // 8 * cells // 2 + 2))
        rows = np.linspace(0, coarse.shape[0] - 1.001, height).astype(int)
        columns = np.linspace(0, coarse.shape[1] - 1.001, width).astype(int)
        picture += coarse[rows][:, columns] / cells
    return np.rint(255 * (picture - picture.min()) / np.ptp(picture)).astype(np.uint8)


def source_pairs(number: int = 6, name: str = "rendered") -> list[SourcePair]:
    splits = split_of(str(i) for i in range(number))
    return [
        SourcePair(name, str(i), splits[str(i)], lambda i=i: (textured(2 * i), textured(2 * i + 1)))
        for i in range(number)
    ]


PICTURES = np.random.default_rng(7).integers(0, 256, (6, 2, 50, 60), np.uint8)


def random_pairs(number: int = 6) -> list[SourcePair]:
    """A set called a, of noise: each pair is another one of ``PICTURES``."""
    splits = split_of(str(i) for i in range(number))
    return [
        SourcePair("a", str(i), splits[str(i)], lambda i=i: (PICTURES[i, 0], PICTURES[i, 1]))
        for i in range(number)
    ]
