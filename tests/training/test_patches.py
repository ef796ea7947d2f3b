import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.training.patches import (
    CropSampler,
    PatchCache,
    PatchSettings,
    SourcePair,
    cut,
    has_contrast,
    split_of,
)
from fsidfusion.training.prepare import prepare
from training_pairs import PICTURES, random_pairs


def test_whole_pictures_come_back_as_they_went_in(tmp_path: Path) -> None:
    cache = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    assert len(cache) == 6
    for i in range(6):
        infrared, visible = cache[i]
        assert np.array_equal(infrared, PICTURES[i, 0])
        assert np.array_equal(visible, PICTURES[i, 1])
    assert [cache.items[i].source for i in cache.positions("validation")] == ["0"]
    assert not (tmp_path / "cache.partial").exists()


def test_patches_lie_on_the_published_grid() -> None:
    image = np.random.default_rng(7).integers(0, 256, (480, 640), np.uint8)
    patches = cut(image, image, PatchSettings())
    assert [(top, left) for top, left, _, _ in patches] == [
        (top, left) for top in (0, 200) for left in (0, 200, 400)
    ]
    assert all(np.array_equal(a, image[top : top + 128, left : left + 128]) for top, left, a, _ in patches)


def test_percentiles_of_the_contrast_rule_are_options() -> None:
    patch = np.full((10, 10), 100, np.uint8)
    patch[0] = 0  # a tenth is dark
    assert not has_contrast(patch, PatchSettings(low=20))
    assert has_contrast(patch, PatchSettings(low=5))


def test_flat_patches_are_dropped_where_either_image_is_flat() -> None:
    textured, flat = (
        np.random.default_rng(7).integers(0, 256, (128, 128), np.uint8),
        np.full((128, 128), 90, np.uint8),
    )
    assert len(cut(textured, textured, PatchSettings())) == 1
    assert cut(textured, flat, PatchSettings()) == cut(flat, textured, PatchSettings()) == []
    assert not has_contrast(np.zeros((8, 8), np.uint8), PatchSettings())


@given(st.integers(1, 255), st.integers(0, 255))
def test_contrast_rule_is_the_formula(low: int, rise: int) -> None:
    high = min(255, low + rise)
    patch = np.repeat(np.array([low, high], np.uint8), 50).reshape(10, 10)
    assert has_contrast(patch, PatchSettings()) == ((high - low) / high >= 0.1)


@pytest.mark.parametrize("damage", ["header", "offset", "height", "set", "index", "pixels", "absent"])
def test_damaged_caches_are_refused(tmp_path: Path, damage: str) -> None:
    folder = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0)).folder
    if damage == "index":
        (folder / "index.json").write_text("{")
    elif damage == "pixels":
        np.save(folder / "visible.npy", np.zeros(10, np.uint8))
    elif damage == "header":
        content = (folder / "visible.npy").read_bytes()
        (folder / "visible.npy").write_bytes(content.replace(b"{'descr'", b"{'desc(("))
    elif damage in ("offset", "height", "set"):
        index = json.loads((folder / "index.json").read_text())
        index["items"][2][damage] = {"offset": -1, "height": 0.5, "set": ["a"]}[damage]
        (folder / "index.json").write_text(json.dumps(index))
    else:
        (folder / "infrared.npy").unlink()
    with pytest.raises(FusionError, match=r"cache") as caught:
        PatchCache(folder)
    assert "\n" not in str(caught.value)


@given(st.integers(2, 300))
def test_split_holds_out_every_twentieth(number: int) -> None:
    stems = [f"{i:03}" for i in range(number)]
    splits = split_of(reversed(stems))
    assert [stem for stem in stems if splits[stem] == "validation"] == stems[::20]


def test_crops_depend_on_seed_and_step_alone_and_share_out(tmp_path: Path) -> None:
    cache = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    one, two = (CropSampler(cache, 16, 4, seed=3, set_weights={"a": 1.0}) for _ in range(2))
    one(0)
    whole = one(5)
    assert all(np.array_equal(a, b) for a, b in zip(whole, two(5), strict=True))
    halves = [two(5, slice(0, 2)), two(5, slice(2, 4))]
    for side in range(2):
        assert np.array_equal(np.concatenate([half[side] for half in halves]), whole[side])
    assert not np.array_equal(whole[0], one(6)[0])
    assert whole[0].shape == (4, 1, 16, 16)


def test_an_epoch_shows_every_item_once(tmp_path: Path) -> None:
    cache = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    sampler = CropSampler(cache, 16, 5, seed=0)
    for epoch in range(3):
        assert sorted(sampler._choose(epoch, np.random.default_rng())) == [1, 2, 3, 4, 5]
    assert sampler.steps_per_epoch == 1


def test_both_images_of_a_crop_are_turned_alike(tmp_path: Path) -> None:
    same = [SourcePair("a", str(i), "train", lambda i=i: (PICTURES[i, 0], PICTURES[i, 0])) for i in range(6)]
    cache = prepare(same, tmp_path / "cache", PatchSettings(patch=0))
    infrared, visible = CropSampler(cache, 16, 64, seed=1)(0)
    assert np.array_equal(infrared, visible)


def test_sampler_refuses_what_cannot_be_drawn(tmp_path: Path) -> None:
    cache = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    with pytest.raises(FusionError, match=r"crop 64 is larger than a/1 \(60x50\) and 4 more"):
        CropSampler(cache, 64, 4, seed=0)
    with pytest.raises(FusionError, match="set_weights names b; the cache holds a"):
        CropSampler(cache, 16, 4, seed=0, set_weights={"b": 1.0})
    lone = prepare(
        [SourcePair("a", "0", "validation", lambda: (PICTURES[0, 0], PICTURES[0, 1]))],
        tmp_path / "lone",
        PatchSettings(patch=0),
    )
    with pytest.raises(FusionError, match="no training items"):
        CropSampler(lone, 16, 4, seed=0)
