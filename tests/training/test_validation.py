from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fsidfusion.images.files import read_picture
from fsidfusion.training.patches import PatchCache, PatchSettings
from fsidfusion.training.prepare import prepare
from fsidfusion.training.validation import fuse_luma, validate
from training_pairs import source_pairs, textured


class Mean(nn.Module):
    """The mean of both images, of sizes that are multiples of 8 alone."""

    size_multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        assert infrared.shape[2] % 8 == infrared.shape[3] % 8 == 0
        return self.share * (infrared + visible)


def test_any_size_comes_back() -> None:
    infrared, visible = textured(0, 21, 33), textured(1, 21, 33)
    fused = fuse_luma(Mean(), infrared, visible)
    expected = (infrared.astype(np.float32) + visible) / 510
    np.testing.assert_allclose(fused, expected, atol=1e-6)


def test_so_many_of_each_set_are_scored_and_drawn(tmp_path: Path) -> None:
    pairs = [*source_pairs(41, "one"), *source_pairs(4, "two")]  # 3 and 1 are held out
    cache: PatchCache = prepare(pairs, tmp_path / "cache", PatchSettings(patch=0))
    told: list[tuple[int, int]] = []
    result = validate(Mean(), cache, tmp_path, 7, 2, on_pair=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert result.means.keys() == {"one", "two"}
    assert result.sheet == tmp_path / "validation" / "00000007.png"
    assert read_picture(result.sheet).pixels.ndim == 3
    alone = prepare(source_pairs(1), tmp_path / "alone", PatchSettings(patch=0))  # nothing is held out
    nothing = validate(Mean(), alone, tmp_path, 8)
    assert nothing.means == {} and not nothing.sheet.exists()
