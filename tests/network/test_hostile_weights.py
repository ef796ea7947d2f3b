"""Weights that claim what they do not hold, or hold what no network can use: one line, no memory, no code."""

import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from fsidfusion.errors import FusionError, ModelError
from fsidfusion.network.checkpoint import import_published, load_model, to_published
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.names import WEIGHTS
from memory_peak import growth_below

NAME = "DIDF_Encoder"


def claim(config, architecture="fsidfusion-light"):
    metadata = {
        "architecture": architecture,
        "config": config if isinstance(config, str) else json.dumps(config),
    }
    head = json.dumps({"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(head)) + head


@pytest.fixture(scope="module")
def published():
    return to_published(FSIDFusion())


@pytest.mark.parametrize(
    "config",
    [
        {"channels": 20_000},
        {"channels": 10**9},
        {"blocks": 10**6},
        {"channels": -1},
        {"channels": 0},
        {"channels": "x"},
        {"channels": None},
        {"channels": [16, 16]},
        {"no such option": 1},
        [1],
        "[" * 100_000,
        '{"emphasis": NaN}',
        '{"channels": 1e999}',
    ],
    ids=str,
)
@pytest.mark.parametrize("architecture", ["fsidfusion", "fsidfusion-light"])
def test_a_configuration_that_no_tensors_bear_out_costs_nothing(tmp_path, config, architecture):
    path = tmp_path / "x.safetensors"
    path.write_bytes(claim(config, architecture))
    with growth_below(60 << 20), pytest.raises(FusionError) as caught:
        load_model(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("change", ["int32", "huge", "infinite"])
def test_values_that_no_network_can_use_are_refused(tmp_path, change):
    model = load_model("fsidfusion-light")
    state = model.state_dict()
    name = next(name for name, value in state.items() if value.is_floating_point())
    state = {key: value.clone() for key, value in state.items()}
    changed = {"int32": state[name].int(), "huge": state[name] + 3e38, "infinite": state[name] / 0}
    state[name] = changed[change]
    path = tmp_path / "x.safetensors"
    save_file(state, path, {"architecture": "fsidfusion-light", "config": json.dumps(model.config)})
    with pytest.raises(ModelError, match=f"1 .*{name}"):
        load_model(path)


def test_very_long_names_are_cut(tmp_path):
    head = json.dumps({"x\n" * 300_000: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert len(str(caught.value)) < 500
    assert len(str(caught.value).splitlines()) == 1


ODD = {
    "stride 0": lambda shape: torch.zeros(1).expand(shape),
    "huge on four bytes": lambda shape: torch.zeros(1).as_strided((10**5, 10**5), (0, 0)),
    "sparse": lambda shape: torch.zeros(shape).to_sparse(),
    "meta": lambda shape: torch.zeros(shape, device="meta"),
    "complex": lambda shape: torch.zeros(shape, dtype=torch.complex64),
    "bool": lambda shape: torch.zeros(shape, dtype=torch.bool),
}


@pytest.mark.parametrize("kind", ODD)
def test_tensors_of_unusual_kinds_in_a_checkpoint_are_named(tmp_path, published, kind):
    name = next(iter(published[NAME]))
    odd = ODD[kind](published[NAME][name].shape)
    torch.save({**published, NAME: {**published[NAME], name: odd}}, tmp_path / "x.pth")
    with growth_below(500 << 20), pytest.raises(ModelError, match="1 of an unusual kind"):
        import_published(tmp_path / "x.pth")


def test_references_to_references_are_followed_once(tmp_path):
    inner = {f"k{number}": 1 for number in range(300)}
    for _ in range(3):
        inner = {f"k{number}": inner for number in range(300)}
    torch.save({NAME: inner}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="not a published"):
        import_published(tmp_path / "x.pth")


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({NAME: {"a": torch.zeros(4)}}, tmp_path / "small.pth")
    with (
        zipfile.ZipFile(tmp_path / "small.pth") as small,
        zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in small.infolist():
            content = bytes(1 << 26) if "/data/" in part.filename else small.read(part)
            bomb.writestr(part.filename, content)
    with growth_below(40 << 20), pytest.raises(ModelError, match="packed"):
        import_published(tmp_path / "x.pth")


def test_the_shipped_weights_are_not_hostile():
    for path in WEIGHTS.glob("*.safetensors"):
        load_model(path)
