"""The published network: equal to the reference values, and sound for any size, batch and training step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fsidfusion.network import blocks
from fsidfusion.network.fsidfusion import FSIDFusion
from network_reference import pair, small_network

TOLERANCE = 1e-5


@pytest.fixture
def golden(golden_root: Path) -> dict[str, np.ndarray]:
    with np.load(golden_root / "network.npz") as stored:
        return dict(stored)


def sources(golden: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    infrared, visible = (torch.from_numpy(golden[name])[None, None] for name in ("ir", "vis"))
    return infrared, visible


def deviation(features: Tensor, expected: np.ndarray) -> float:
    """The largest difference; feature maps are stored every 6th row and 8th column."""
    found = features[0].detach().numpy()
    found = found[:, ::6, ::8] if expected.ndim == 3 else found[0]
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("band", [1 << 16, 1])  # the image whole, and in bands of 8 rows
def test_equals_the_reference(reference, golden, monkeypatch, band) -> None:
    monkeypatch.setitem(blocks.BAND_PIXELS, "cpu", band)
    with torch.no_grad():
        features = reference.features(*sources(golden))
        fused, infrared_hat, visible_hat = reference.fuse_and_reconstruct(*sources(golden))
        found = {
            "shared": features.shared,
            "specific_ir": features.infrared_specific,
            "specific_vis": features.visible_specific,
            "specific_fused": reference.fuse_specific(features),
            "fused": fused,
            "recon_ir": infrared_hat,
            "recon_vis": visible_hat,
        }
    assert golden.keys() == found.keys() | {"ir", "vis"}
    assert {name: deviation(found[name], golden[name]) for name in found} == pytest.approx(
        dict.fromkeys(found, 0), abs=TOLERANCE
    )


def test_forward_and_reconstruct_equal_the_joint_pass(reference, golden) -> None:
    with torch.no_grad():
        fused = reference(*sources(golden))
        infrared_hat, visible_hat = reference.reconstruct(*sources(golden))
    assert deviation(fused, golden["fused"]) < TOLERANCE
    assert deviation(infrared_hat, golden["recon_ir"]) < TOLERANCE
    assert deviation(visible_hat, golden["recon_vis"]) < TOLERANCE


def test_gradients_do_not_change_the_result(reference, golden) -> None:
    """The whole pass of training, and the one in pieces."""
    assert deviation(reference(*sources(golden)), golden["fused"]) < TOLERANCE


def test_stores_the_published_number_of_values() -> None:
    state = FSIDFusion().state_dict()
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (307, 2_823_388)


def test_a_batch_equals_its_images(small) -> None:
    infrared, visible = pair(20, 28, batch=3)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        together = small(infrared[order], visible[order])
        single = torch.cat([small(infrared[i : i + 1], visible[i : i + 1]) for i in order.tolist()])
    torch.testing.assert_close(together, single, atol=1e-5, rtol=0)


@settings(max_examples=15, derandomize=True, deadline=None)
@given(height=st.integers(2, 26), width=st.integers(2, 26), batch=st.integers(1, 2))
def test_takes_any_size_and_cuts_it_into_bands_at_will(height: int, width: int, batch: int) -> None:
    small = small_network()
    infrared, visible = pair(height, width, batch)
    whole = small(infrared, visible)
    assert whole.shape == (batch, 1, height, width)
    assert whole.isfinite().all() and whole.min() >= 0 and whole.max() <= 1
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setitem(blocks.BAND_PIXELS, "cpu", 1)
        torch.testing.assert_close(small(infrared, visible), whole, atol=1e-5, rtol=0)


def test_sees_as_far_as_the_tile_overlap_says(small, monkeypatch) -> None:
    """Statistics held fixed, a pixel that is not a number makes the output so within the overlap."""
    monkeypatch.setattr(blocks.ChannelAttention, "measure", fixed_sums)
    monkeypatch.setattr(blocks.Gate, "_measure", fixed_average)
    infrared, visible = pair(64, 64)
    infrared[:, :, 32, 32] = torch.nan
    with torch.no_grad():
        rows, columns = small(infrared, visible)[0, 0].isnan().nonzero().unbind(1)
    reach = 1 + 2 + 6 + 8 + 2 + 2  # embedding, block, specific branch, specific fusion, block, output
    assert small.tile_overlap == reach
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32 - reach, 32 + reach) * 2
    assert FSIDFusion().tile_overlap == 33


def fixed_sums(attention: blocks.ChannelAttention, x: Tensor) -> tuple[Tensor, ...]:
    B, C = x.shape[:2]
    return torch.eye(C).expand(B, C, C), torch.ones(B, C), torch.ones(B, C)


def fixed_average(gate: blocks.Gate, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(p), p.shape[1], 1, 1), torch.ones(len(p), p.shape[1], 1, 1)


@pytest.mark.parametrize("batch", [1, 2])
def test_trains_with_any_batch(small, batch) -> None:
    small.train().to(memory_format=torch.channels_last)
    infrared, visible = pair(12, 16, batch)
    fused, infrared_hat, visible_hat = small.fuse_and_reconstruct(infrared, visible)
    target = torch.maximum(infrared, visible)
    ((fused - target) ** 2 + (infrared_hat - infrared) ** 2 + (visible_hat - visible) ** 2).mean().backward()
    gradients = {name: p.grad for name, p in small.named_parameters() if p.requires_grad}
    dead = [
        name
        for name, grad in gradients.items()
        if grad is None or not grad.isfinite().all() or not grad.any()
    ]
    # one value per channel passes the gate's global branch as running statistics, so every parameter still
    # learns
    assert dead == []
    assert {name for name, p in small.named_parameters() if not p.requires_grad} == {
        "encoder.interaction.unused_mix.weight",
        "encoder.interaction.unused_mix.bias",
    }


def test_single_values_leave_the_running_statistics() -> None:
    norm = blocks.BatchNorm(3).train()
    norm.running_mean.fill_(2.0)
    out = norm(torch.full((1, 3, 1, 1), 4.0))
    torch.testing.assert_close(out, torch.full((1, 3, 1, 1), 2.0), atol=1e-4, rtol=0)
    assert (norm.running_mean == 2).all() and norm.num_batches_tracked == 0
    norm(torch.rand(2, 3, 1, 1))
    assert norm.num_batches_tracked == 1


def test_black_images_give_finite_gradients(small) -> None:
    black = torch.zeros(1, 1, 8, 8)
    small.train()(black, black).sum().backward()
    assert all(p.grad.isfinite().all() for p in small.parameters() if p.grad is not None)


def test_bfloat16_stays_within_two_grey_levels(small) -> None:
    infrared, visible = pair(40, 48)
    with torch.no_grad():
        exact = small(infrared, visible)
        with torch.autocast("cpu", torch.bfloat16):
            near = small(infrared, visible)
    assert near.dtype == torch.float32
    assert (near - exact).abs().max() < 2 / 255
    assert (near - exact).abs().mean() < 0.25 / 255


@pytest.mark.parametrize("channels, blocks_", [(20, 1), (0, 1), (16, 0)])
def test_refuses_impossible_sizes_of_itself(channels: int, blocks_: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        FSIDFusion(channels=channels, blocks=blocks_)


def test_exports_with_free_height_and_width(small, monkeypatch) -> None:
    """An export is the whole pass, without cases by size: what it made of one size holds for another."""
    monkeypatch.setitem(blocks.BAND_PIXELS, "cpu", 1)
    size = {2: torch.export.Dim("height", min=8, max=512), 3: torch.export.Dim("width", min=8, max=512)}

    def features(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        maps = torch.randn(2, 16, height, width, generator=torch.Generator().manual_seed(0))
        return maps[:1], maps[1:], torch.rand(1, 1, height, width)

    with (
        torch.no_grad()
    ):  # the decoder stands for all: the rest is made of the same blocks, and slow to export
        exported = torch.export.export(small.decoder, features(16, 24), dynamic_shapes=(size,) * 3).module()
        other = features(40, 20)
        torch.testing.assert_close(exported(*other), small.decoder(*other), atol=1e-5, rtol=0)
