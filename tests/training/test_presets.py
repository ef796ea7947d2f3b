from pathlib import Path

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.training.presets import TrainConfig, load_config, preset_names


def test_published_preset_is_the_published_schedule() -> None:
    config = load_config("published")
    assert (config.reconstruction_epochs, config.fusion_epochs, config.batch, config.crop) == (40, 80, 8, 128)
    assert (config.learning_rate, config.learning_rate_floor, config.halve_every) == (1e-4, 1e-6, 20)
    assert (config.clip, config.schedule, config.losses) == (0.01, "step", {"published": 1.0})
    assert (config.ema, config.weight_decay, config.augment, config.precision) == (0.0, 0.0, False, "fp32")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_is_stored_whole(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    config.save(tmp_path / "config.yaml")
    assert load_config(str(tmp_path / "config.yaml")) == config


def test_overrides_are_read_as_yaml() -> None:
    changed = load_config(
        "light", {"batch": "4", "learning_rate": "1e-5", "losses": "{edges: 2}", "augment": "no"}
    )
    assert (changed.batch, changed.learning_rate, changed.losses, changed.augment) == (
        4,
        1e-5,
        {"edges": 2.0},
        False,
    )


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("fast", {}, "preset 'fast' does not exist; choose"),
        ("light", {"learning_rat": "1"}, "did you mean learning_rate"),
        ("light", {"batch": "many"}, "batch is 'many'; expected int"),
        ("light", {"batch": "0"}, "at least 1"),
        ("light", {"batch": "3", "accumulate": "2"}, "cannot be split into 2"),
        ("light", {"precision": "fp16"}, "precision 'fp16' is unknown; choose fp32 or bf16"),
        ("light", {"losses": "[1"}, "no sound value"),
        ("absent.yaml", {}, "absent.yaml does not exist"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(preset: str, overrides: dict[str, str], message: str) -> None:
    with pytest.raises(FusionError, match=None) as caught:
        load_config(preset, overrides)
    assert message in str(caught.value)


def test_defaults_are_valid() -> None:
    assert TrainConfig() == TrainConfig(**vars(TrainConfig()))


def test_a_stored_configuration_of_fewer_fields_is_the_same_run(tmp_path: Path) -> None:
    stored = tmp_path / "config.yaml"
    load_config("balanced").save(stored)
    lines = [line for line in stored.read_text().splitlines() if not line.startswith("validate_pairs")]
    stored.write_text("\n".join(lines))
    assert load_config(str(stored)) == load_config("balanced")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"losses": "{gradiant: 1}"}, "did you mean gradient?"),
        ({"losses": "{}"}, "losses is empty"),
        ({"losses": "{information: 1}", "crop": "32"}, "the information loss needs at least 33"),
        ({"crop": "8"}, "crop is 8; it must be at least 16"),
        ({"ema": "1"}, "ema is 1.0; it must be below 1"),
        ({"betas": "[0.9, 1]"}, "both must be in 0..1"),
        ({"fusion_epochs": "-1"}, "fusion_epochs is -1; it must be at least 0"),
        ({"learning_rate": ".nan"}, "learning_rate is nan; it must be at least 0"),
    ],
)
def test_values_that_cannot_work_are_refused(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(FusionError) as caught:
        load_config("light", overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"batch: \xe1", b"[" * 5000, b"seed: " + b"9" * 5000 + b"x"])
def test_damaged_presets_are_one_short_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(FusionError) as caught:
        load_config(str(tmp_path / "own.yaml"))
    said = str(caught.value).replace(str(tmp_path), "")
    assert "\n" not in said and len(said) < 200


def test_a_preset_file_holds_fields(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("- batch\n")
    with pytest.raises(FusionError, match="holds list, not fields"):
        load_config(str(tmp_path / "own.yaml"))
