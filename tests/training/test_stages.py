from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fsidfusion.training import objectives, stages
from fsidfusion.training.presets import LOSSES, TrainConfig

INFRARED, VISIBLE = torch.rand(2, 2, 1, 48, 48, generator=torch.Generator().manual_seed(0))


class Blend(nn.Module):
    """A network whose reconstructions are a little darker than the images."""

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        return (infrared + visible) / 2

    def reconstruct(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return 0.9 * infrared, 0.9 * visible

    def fuse_and_reconstruct(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self(infrared, visible), *self.reconstruct(infrared, visible)


def test_every_loss_has_a_name_and_its_weight() -> None:
    fused = Blend()(INFRARED, VISIBLE)
    weights = {name: 2.0 + place for place, name in enumerate(LOSSES)}
    terms = stages.fusion_losses(fused, INFRARED, VISIBLE, TrainConfig(losses=weights))
    assert terms.keys() == {*LOSSES[1:], "published_intensity", "published_gradient"}
    alone = stages.fusion_losses(fused, INFRARED, VISIBLE, TrainConfig(losses=dict.fromkeys(LOSSES, 1.0)))
    for name, term in terms.items():
        weight = weights["published" if name.startswith("published") else name]
        torch.testing.assert_close(term, weight * alone[name])


def test_stage_one_compares_reconstructions() -> None:
    terms = stages.reconstruct(Blend(), INFRARED, VISIBLE, TrainConfig())
    expected = objectives.stage_one_loss(INFRARED, VISIBLE, 0.9 * INFRARED, 0.9 * VISIBLE)
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_stage_two_holds_reconstruction_at_its_weight(weight: float) -> None:
    config = replace(TrainConfig(), reconstruction_weight=weight)
    terms = stages.fuse(Blend(), INFRARED, VISIBLE, config)
    held = stages.reconstruct(Blend(), INFRARED, VISIBLE, config)
    if not weight:
        assert not held.keys() & terms.keys()
        return
    for name, term in held.items():
        torch.testing.assert_close(terms[name], weight * term)


def test_losses_are_computed_in_full_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        terms = stages.fuse(Blend(), INFRARED, VISIBLE, TrainConfig())
    expected = stages.fuse(Blend(), INFRARED, VISIBLE, TrainConfig())
    for name, term in terms.items():
        assert torch.equal(term, expected[name])
