"""Weights on disk: round trips, and one clear line for each thing that may be wrong with a file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fsidfusion.errors import FusionError
from fsidfusion.network import names
from fsidfusion.network.checkpoint import (
    from_published,
    import_published,
    load_model,
    published_names,
    save_weights,
    to_bytes,
    to_published,
)
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.names import shipped_models
from network_reference import pair, reference_checkpoint


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def published(golden_root: Path) -> dict[str, dict[str, Tensor]]:
    return reference_checkpoint(golden_root)


def test_understands_every_published_name(golden_root: Path) -> None:
    shapes = json.loads((golden_root / "network.json").read_text())["parameters"]
    model = FSIDFusion()
    names = published_names(model)
    state = model.state_dict()
    assert {theirs: list(state[ours].shape) for ours, theirs in names.items()} == shapes


def test_published_values_come_back_as_they_went_in(published, tmp_path) -> None:
    again = to_published(from_published(published))
    assert again.keys() == published.keys()
    assert all(equal(again[part], published[part]) for part in published)
    torch.save(again, tmp_path / "published.pth")
    assert equal(
        import_published(tmp_path / "published.pth").state_dict(), from_published(published).state_dict()
    )


def test_equal_tensors_give_equal_bytes(tmp_path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    about = {f"entry {number}": f"größer {number}" for number in range(20)}
    backwards = dict(reversed(about.items()))
    assert to_bytes(tensors, about) == to_bytes(dict(reversed(tensors.items())), backwards)
    path = tmp_path / "file.safetensors"
    path.write_bytes(to_bytes(tensors, about))
    with safe_open(path, "pt") as file:
        assert file.metadata() == about
    assert equal(load_file(path), tensors)


def test_reads_other_nestings(published) -> None:
    expected = from_published(published).state_dict()
    plain = {
        part: {n.removeprefix("module."): x for n, x in values.items()} for part, values in published.items()
    }
    flat = {f"{part}.{name}": x for part, values in published.items() for name, x in values.items()}
    nested = {"epoch": 119, "state_dict": published, "optimizer": {"lr": torch.tensor(1e-4)}}
    for form in (plain, flat, nested):
        assert equal(from_published(form).state_dict(), expected)


def test_saved_weights_load_again(small, tmp_path) -> None:
    path = tmp_path / "small.safetensors"
    save_weights(path, small.to(memory_format=torch.channels_last), {"recipe": "test"})
    again = load_model(path)
    assert not again.training
    assert again.config == {"channels": 16, "blocks": 1}
    assert equal(again.state_dict(), small.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(*pair(12, 12)), small(*pair(12, 12)), atol=1e-6, rtol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]


def test_a_failed_save_leaves_the_old_file(small, tmp_path, monkeypatch) -> None:
    path = tmp_path / "small.safetensors"
    save_weights(path, small)
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(FusionError, match="No space left on device"):
        save_weights(path, small, {"recipe": "another"})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize(
    "name, complaint",
    [("weights.pth", "should end in .safetensors"), ("no/weights.safetensors", "no folder")],
)
def test_refuses_where_it_cannot_save(small, tmp_path, name, complaint) -> None:
    with pytest.raises(FusionError, match=complaint):
        save_weights(tmp_path / name, small)


def test_names_shipped_networks_and_the_closest(monkeypatch, small, tmp_path) -> None:
    save_weights(tmp_path / "fsidfusion-msrs.safetensors", small)
    (tmp_path / "fsidfusion-msrs.json").write_text('{"licence": "MIT"}')
    save_weights(tmp_path / "light.safetensors", small)
    monkeypatch.setattr(names, "WEIGHTS", tmp_path)
    assert shipped_models() == ["fsidfusion-msrs", "light"]
    assert isinstance(load_model("light"), FSIDFusion)
    assert names.model_card("fsidfusion-msrs") == {"licence": "MIT"}
    assert names.model_card("light") == {}
    with pytest.raises(
        FusionError, match=r"did you mean 'fsidfusion-msrs'.*shipped networks: fsidfusion-msrs, light"
    ):
        load_model("fsidfusion-mrs")


def test_second_weights_of_a_network_are_found_for_mri(monkeypatch, small, tmp_path) -> None:
    for name in ("light", "light-medical", "alone-medical", "plain"):
        save_weights(tmp_path / f"{name}.safetensors", small)
    monkeypatch.setattr(names, "WEIGHTS", tmp_path)
    assert names.shipped_networks() == ["alone-medical", "light", "plain"]
    assert names.suited("light", medical=True) == "light-medical"
    for name, medical in (("light", False), ("light-medical", True), ("plain", True), ("maximum", True)):
        assert names.suited(name, medical) == name


def test_every_shipped_network_loads_and_fuses() -> None:
    for name in shipped_models():
        model = load_model(name)
        side = -(-max(32, model.minimum_size) // model.size_multiple) * model.size_multiple
        with torch.no_grad():
            assert model(*pair(side, side)).isfinite().all()


def test_never_unpickles(tmp_path) -> None:
    for name in ("a.pth", "b.pt", "c.ckpt", "d.PTH"):
        (tmp_path / name).write_bytes(b"\x80\x02")
        with pytest.raises(FusionError, match="import-weights"):
            load_model(tmp_path / name)


def rewrite(path: Path, metadata: dict[str, str], **changes: Tensor | None) -> None:
    state = load_file(path)
    for name, tensor in changes.items():
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor
    save_file(state, path, metadata)


OURS = {"architecture": "fsidfusion", "config": '{"channels": 16, "blocks": 1}'}


@pytest.mark.parametrize(
    "metadata, changes, complaint",
    [
        ({}, {}, "names no architecture in its metadata; known are fsidfusion"),
        ({"architecture": "resnet"}, {}, "names 'resnet'"),
        ({**OURS, "config": "{"}, {}, "no usable configuration"),
        ({**OURS, "config": '{"channels": 20}'}, {}, "multiple of 16"),
        ({**OURS, "config": '{"depth": 3}'}, {}, "no usable configuration"),
        (OURS, {"decoder.output.weight": None}, "1 missing: decoder.output.weight"),
        (OURS, {"extra": torch.ones(2)}, "1 unknown: extra"),
        (
            OURS,
            {"decoder.output.weight": torch.ones(1, 8, 1, 1)},
            r"1 of another shape: .*\(1, 8, 1, 1\) for",
        ),
        (OURS, {"decoder.output.weight": torch.full((1, 8, 3, 3), torch.nan)}, "1 not finite"),
        ({**OURS, "config": "{}"}, {}, r"66 missing: .* and 58 more; .* of another shape"),
    ],
)
def test_says_what_does_not_fit(small, tmp_path, metadata, changes, complaint) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, small)
    rewrite(path, metadata, **changes)
    with pytest.raises(FusionError, match=complaint) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not weights at all, but quite a long text"])
def test_refuses_files_that_are_not_safetensors(tmp_path, content) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(FusionError, match="not a whole safetensors file"):
        load_model(path)


def test_refuses_half_a_file(small, tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, small)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FusionError, match="not a whole safetensors file"):
        load_model(path)
    with pytest.raises(FusionError, match="does not exist"):
        load_model(tmp_path / "absent.safetensors")
