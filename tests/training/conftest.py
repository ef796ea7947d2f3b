from pathlib import Path

import pytest

from fsidfusion.training.patches import PatchCache, PatchSettings
from fsidfusion.training.prepare import prepare
from fsidfusion.training.presets import TrainConfig
from training_pairs import source_pairs


@pytest.fixture
def cache(tmp_path: Path) -> PatchCache:
    return prepare(source_pairs(), tmp_path / "cache", PatchSettings(patch=0))


@pytest.fixture
def tiny() -> TrainConfig:
    """A light network and few steps: a run of a second."""
    return TrainConfig(
        network="fsidfusion-light",
        network_options={"channels": 4, "width": 8, "blocks": 1},
        reconstruction_epochs=0,
        fusion_epochs=1,
        steps_per_epoch=6,
        batch=4,
        crop=16,
        augment=True,
        learning_rate=1e-3,
        clip=1.0,
        ema=0.9,
        losses={"intensity": 1.0, "gradient": 1.0, "edges": 1.0},
        reconstruction_weight=0.0,
    )
