"""The light network: its overview changes nothing at first, undoes veils, sets targets off, sees so far."""

import pytest
import torch

from fsidfusion.network.checkpoint import load_model
from fsidfusion.network.light import COVER_MARGIN, VEIL_MARGIN, LightFusion


def pair(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return images[0], images[1]


def lively(channels: int = 8) -> LightFusion:
    """A network whose overview answers differently everywhere."""
    torch.manual_seed(3)
    network = LightFusion(channels=8, width=8, blocks=1, overview=channels).eval()
    assert network.overview is not None
    torch.nn.init.normal_(network.overview.answer.weight, std=0.3)
    return network


@torch.no_grad()
def test_a_fresh_overview_leaves_the_fusion_as_it_is() -> None:
    plain = LightFusion(channels=8, width=8, blocks=1).eval()
    network = LightFusion(channels=8, width=8, blocks=1, overview=8).eval()
    network.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(network(*pair(48, 64)), plain(*pair(48, 64)))


@torch.no_grad()
def test_a_veil_is_undone_before_the_fusion() -> None:
    network = LightFusion(channels=8, width=8, blocks=1, overview=8).eval()
    assert network.overview is not None and network.overview.answer.bias is not None
    network.overview.answer.bias[:2] = torch.tensor([0.3 + VEIL_MARGIN, 0.5 + COVER_MARGIN])  # airlight 0.6
    infrared, visible = pair(32, 32)
    clear = 0.5 + 0.4 * visible
    veiled = clear * 0.5 + 0.3
    (_, unveiled), _ = network.merged(infrared, veiled)[1:]
    expected = torch.nn.functional.pixel_unshuffle(clear, 2)
    torch.testing.assert_close(unveiled, expected)


@torch.no_grad()
def test_the_sky_keeps_its_veil() -> None:
    network = LightFusion(channels=8, width=8, blocks=1, overview=8).eval()
    assert network.overview is not None and network.overview.answer.bias is not None
    network.overview.answer.bias[:2] = torch.tensor([0.3 + VEIL_MARGIN, 0.5 + COVER_MARGIN])
    network.overview.answer.bias[2:4] = torch.tensor([-1.0, 0.2])  # sky: all of infrared below 0.1
    infrared, visible = pair(32, 32)
    infrared[..., :16] = 0.05
    (_, cleared), _ = network.merged(infrared, visible)[1:]
    cleared = torch.nn.functional.pixel_shuffle(cleared, 2)
    torch.testing.assert_close(cleared[infrared <= 0.1], visible[infrared <= 0.1])
    ground = infrared > 0.2
    torch.testing.assert_close(
        cleared[ground], ((visible - 0.3) / 0.5).clamp(0, 1)[ground], atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_targets_are_set_off_as_far_as_emphasis_says() -> None:
    network = LightFusion(channels=8, width=8, blocks=1, overview=8).eval()
    assert network.overview is not None and network.overview.answer.bias is not None
    infrared, visible = pair(48, 48)
    natural = network(infrared, visible)
    network.overview.answer.bias[4:] = torch.tensor([1.0, -0.5, 0.0, 0.9])  # all above 0.6 becomes 0.9
    targets = network(infrared, visible)
    torch.testing.assert_close(targets[infrared > 0.6], torch.full_like(targets[infrared > 0.6], 0.9))
    assert torch.equal(targets[infrared < 0.5], natural[infrared < 0.5])
    network.emphasis = 0.0
    assert torch.equal(network(infrared, visible), natural)
    network.emphasis = 0.5
    half = network(infrared, visible)
    torch.testing.assert_close(half, (natural + targets) / 2)


@torch.no_grad()
def test_an_output_pixel_sees_as_far_as_is_said_and_no_further() -> None:
    network = lively().double()
    infrared, visible = (image.double() for image in pair(48, 16 * 40))
    whole = network(infrared, visible)
    for left in (16, 48):
        part = network(infrared[..., left:], visible[..., left:])
        differs = (part - whole[..., left:]).abs().amax((0, 1, 2)) > 1e-12
        furthest = int(differs.nonzero().max()) + 1
        assert 0.6 * network.tile_overlap < furthest <= network.tile_overlap


def test_sizes_and_gradients() -> None:
    network = lively()
    assert (network.size_multiple, network.minimum_size) == (16, 16)
    assert LightFusion().size_multiple == 2
    network(*pair(16, 32)).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", ["fsidfusion-light", "fsidfusion-light-medical"])
def test_the_shipped_weights_load(name: str) -> None:
    assert isinstance(load_model(name), LightFusion)
