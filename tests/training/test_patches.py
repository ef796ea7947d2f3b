import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.images.lock import alone
from fsidfusion.training.patches import (
    CropSampler,
    PatchCache,
    PatchSettings,
    SourcePair,
    cut,
    has_contrast,
    prepare,
    split_of,
)

RNG = np.random.default_rng(7)
PICTURES = RNG.integers(0, 256, (6, 2, 50, 60), np.uint8)


def pairs(number: int = 6, set_: str = "a") -> list[SourcePair]:
    splits = split_of(str(i) for i in range(number))
    return [
        SourcePair(set_, str(i), splits[str(i)], lambda i=i: (PICTURES[i, 0], PICTURES[i, 1]))
        for i in range(number)
    ]


def test_whole_pictures_come_back_as_they_went_in(tmp_path: Path) -> None:
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
    assert len(cache) == 6
    for i in range(6):
        infrared, visible = cache[i]
        assert np.array_equal(infrared, PICTURES[i, 0])
        assert np.array_equal(visible, PICTURES[i, 1])
    assert [cache.items[i].source for i in cache.positions("validation")] == ["0"]
    assert not (tmp_path / "cache.partial").exists()


def test_patches_lie_on_the_published_grid() -> None:
    image = RNG.integers(0, 256, (480, 640), np.uint8)
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
    textured, flat = RNG.integers(0, 256, (128, 128), np.uint8), np.full((128, 128), 90, np.uint8)
    assert len(cut(textured, textured, PatchSettings())) == 1
    assert cut(textured, flat, PatchSettings()) == cut(flat, textured, PatchSettings()) == []
    assert not has_contrast(np.zeros((8, 8), np.uint8), PatchSettings())


@given(st.integers(1, 255), st.integers(0, 255))
def test_contrast_rule_is_the_formula(low: int, rise: int) -> None:
    high = min(255, low + rise)
    patch = np.repeat(np.array([low, high], np.uint8), 50).reshape(10, 10)
    assert has_contrast(patch, PatchSettings()) == ((high - low) / high >= 0.1)


def test_a_stopped_preparation_goes_on_and_gives_the_same_cache(tmp_path: Path) -> None:
    whole = prepare(pairs(), tmp_path / "whole", PatchSettings(patch=16, stride=16))

    def failing() -> list[SourcePair]:
        broken = pairs()

        def stop() -> tuple[np.ndarray, np.ndarray]:
            raise KeyboardInterrupt

        broken[3] = SourcePair("a", "3", "train", stop)
        return broken

    with pytest.raises(KeyboardInterrupt):
        prepare(failing(), tmp_path / "cache", PatchSettings(patch=16, stride=16))
    partial = tmp_path / "cache.partial"
    with (partial / "infrared.raw").open("ab") as file:  # half a pair, as a crash leaves it
        file.write(b"half")
    with (partial / "journal.jsonl").open("a") as file:
        file.write('5f0ad4c8 ["a", "3", [{"se')
    read: list[str] = []
    prepare(pairs(), tmp_path / "cache", PatchSettings(patch=16, stride=16), lambda p, n: read.append(p.stem))
    assert read == ["3", "4", "5"]
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (tmp_path / "cache" / name).read_bytes() == (whole.folder / name).read_bytes(), name


@pytest.mark.parametrize("fault", ["short", "spoilt", "missing"])
def test_what_a_power_cut_spoilt_is_read_again(tmp_path: Path, fault: str) -> None:
    whole = prepare(pairs(), tmp_path / "whole", PatchSettings(patch=0))
    stopped = pairs()
    stopped[3] = SourcePair("a", "3", "train", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(stopped, tmp_path / "cache", PatchSettings(patch=0))
    partial = tmp_path / "cache.partial"
    if fault == "short":  # the second of three pairs is not all there
        with (partial / "visible.raw").open("r+b") as file:
            file.truncate(2 * PICTURES[0, 0].size - 1)
    elif fault == "spoilt":
        journal = (partial / "journal.jsonl").read_bytes()
        (partial / "journal.jsonl").write_bytes(journal.replace(b'"1", [{', b'"9", [{'))
    else:
        (partial / "infrared.raw").unlink()
    read: list[str] = []
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0), lambda p, n: read.append(p.stem))
    assert read == [str(i) for i in range(0 if fault == "missing" else 1, 6)]
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (cache.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "whole"]  # no lock is left


def test_pixels_are_on_the_disk_before_the_journal_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, said = tmp_path / "cache.partial" / "journal.jsonl", []
    original = os.fsync

    def look(number: int) -> None:
        said.append(len(journal.read_text().splitlines()))
        original(number)

    monkeypatch.setattr(os, "fsync", look)
    prepare(pairs(2), tmp_path / "cache", PatchSettings(patch=0))
    assert said[:4] == [0, 0, 1, 1]


def test_two_do_not_prepare_one_cache(tmp_path: Path) -> None:
    with (
        alone(tmp_path / ".cache.lock", ""),
        pytest.raises(FusionError, match=r"cache is being written by another process; wait for its end"),
    ):
        prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
    assert len(prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))) == 6


def test_a_full_disk_keeps_what_was_prepared(tmp_path: Path) -> None:
    whole = prepare(pairs(), tmp_path / "whole", PatchSettings(patch=0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (7_000, 18_050):  # behind two of six pairs, and within the header that is added at the end
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            with pytest.raises(FusionError, match="make room, and run again"):
                prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (cache.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_stopped_preparation_refuses_other_settings(tmp_path: Path) -> None:
    (tmp_path / "cache.partial").mkdir()
    (tmp_path / "cache.partial" / "settings.json").write_text(json.dumps({"patch": 1}))
    with pytest.raises(FusionError, match="other settings"):
        prepare(pairs(), tmp_path / "cache")


def test_unusable_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"no patch of 128 x 128.*smaller --patch"):
        prepare(pairs(), tmp_path / "cache")
    prepare(pairs(), tmp_path / "cache", PatchSettings(patch=16))  # nothing of the first try is in the way
    for settings in (PatchSettings(patch=-1), PatchSettings(stride=0), PatchSettings(min_contrast=2)):
        with pytest.raises(FusionError, match="expected at least 0, at least 1"):
            prepare(pairs(), tmp_path / "none", settings)
    with pytest.raises(FusionError, match="percentiles 90 and 10: expected"):
        prepare(pairs(), tmp_path / "none", PatchSettings(low=90, high=10))
    uneven = [SourcePair("a", "x", "train", lambda: (PICTURES[0, 0], PICTURES[0, 1, :40]))]
    with pytest.raises(FusionError, match="a/x: the images differ in size, 60x50 and 60x40"):
        prepare(uneven, tmp_path / "other", PatchSettings(patch=0))
    (tmp_path / "there").mkdir()
    with pytest.raises(FusionError, match="exists already"):
        prepare(pairs(), tmp_path / "there")


@pytest.mark.parametrize("damage", ["index", "pixels", "absent"])
def test_damaged_caches_are_refused(tmp_path: Path, damage: str) -> None:
    folder = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0)).folder
    if damage == "index":
        (folder / "index.json").write_text("{")
    elif damage == "pixels":
        np.save(folder / "visible.npy", np.zeros(10, np.uint8))
    else:
        (folder / "infrared.npy").unlink()
    with pytest.raises(FusionError, match="cache"):
        PatchCache(folder)


@given(st.integers(2, 300))
def test_split_holds_out_every_twentieth(number: int) -> None:
    stems = [f"{i:03}" for i in range(number)]
    splits = split_of(reversed(stems))
    assert [stem for stem in stems if splits[stem] == "validation"] == stems[::20]


def test_crops_depend_on_seed_and_step_alone_and_share_out(tmp_path: Path) -> None:
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
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
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
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
    cache = prepare(pairs(), tmp_path / "cache", PatchSettings(patch=0))
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
