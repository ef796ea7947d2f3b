from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.training.sources import read_luma, source_pairs, training_sets

COLOUR = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """MSRS with both splits, and a set without splits."""
    for place, number in (("MSRS/train", 3), ("MSRS/test", 2), ("TNO", 2)):
        for i in range(number):
            write_picture(tmp_path / place / "ir" / f"{i}.png", Picture(COLOUR[..., 0].copy()))
            write_picture(tmp_path / place / "vi" / f"{i}.png", Picture(COLOUR))
    return tmp_path


def test_test_splits_are_left_out_where_there_are_others(root: Path) -> None:
    taken, left_out = training_sets(root)
    assert sorted(found.name for found in taken) == ["MSRS/train", "TNO"]
    assert [found.name for found in left_out] == ["MSRS/test"]
    splits = {(pair.set, pair.stem): pair.split for pair in source_pairs(root)}
    assert splits[("MSRS/train", "0")] == splits[("TNO", "0")] == "validation"
    assert sorted(splits.values()) == ["train"] * 3 + ["validation"] * 2
    assert {pair.split for pair in source_pairs(root, validation=False)} == {"train"}


def test_pictures_are_read_as_luma(root: Path) -> None:
    pair = source_pairs(None, [root / "TNO" / "ir"], [root / "TNO" / "vi"])[1]
    infrared, visible = pair.read()
    assert (pair.set, pair.stem, pair.split) == ("pairs", "1", "train")
    assert np.array_equal(infrared, COLOUR[..., 0])
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(visible - luma).max() <= 0.501
    assert np.array_equal(read_luma(root / "TNO" / "vi" / "1.png"), visible)


def test_pairs_are_named_in_one_way(root: Path, tmp_path: Path) -> None:
    for named in ({}, {"root": root, "infrared": [root / "TNO" / "ir"]}):
        with pytest.raises(FusionError, match="name the pairs in one way"):
            source_pairs(**named)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionError, match="holds no set of pairs"):
        source_pairs(tmp_path / "empty")
