"""The rendered head: registered in three modalities, with an exactly black background."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.studies.scenes.phantom import render_phantom


def test_a_seed_names_one_head() -> None:
    first, again, other = render_phantom(2), render_phantom(2), render_phantom(3)
    for name in ("mri", "pet", "ct", "lesion"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.mri, other.mri)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), size=st.integers(64, 320))
def test_every_head_stands_alone_on_black(seed: int, size: int) -> None:
    head = render_phantom(seed, size)
    assert head.mri.shape == head.ct.shape == head.lesion.shape == (size, size)
    assert head.pet.shape == (size, size, 3)
    assert head.mri.dtype == head.pet.dtype == head.ct.dtype == np.uint8
    frame = np.ones((size, size), bool)
    frame[2:-2, 2:-2] = False
    inside = head.mri > 0
    assert not inside[frame].any()
    assert 0.25 < inside.mean() < 0.6
    assert not head.ct[~inside].any() or (head.ct[~inside] > 0).mean() < 0.01
    assert not head.pet[head.ct == 0].any() or (head.pet[head.ct == 0] > 0).mean() < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_tissues_look_as_in_each_modality(seed: int) -> None:
    head = render_phantom(seed)
    bone = head.ct > 235
    brain = (head.ct > 75) & (head.ct < 130)
    assert 0.03 < bone.mean() < 0.2
    assert head.mri[bone].mean() < 100 < np.quantile(head.mri[head.mri > 0], 0.95)  # dark bone, bright fat
    assert head.ct[bone].mean() > head.ct[brain].mean() + 100
    warmth = head.pet[..., 0].astype(int) - head.pet[..., 2]  # red is more than blue
    core = head.lesion & (head.mri > 0)
    assert core.sum() > 50
    assert warmth[core].mean() > warmth[brain].mean() + 30


def test_too_small_a_size_is_named() -> None:
    with pytest.raises(FusionError, match="32x32 is too small: give a size of at least 64"):
        render_phantom(0, 32)
