"""The shipped ONNX files are those of the shipped weights, and compute what torch does."""

import shutil

import numpy as np
import pytest

from fsidfusion.errors import InputError, ModelError
from fsidfusion.images.pixels import luma
from fsidfusion.network import names
from fsidfusion.network.checkpoint import load_model
from fsidfusion.runtime.compiled import MAX_DIFFERENCE, CompiledRuntime
from fsidfusion.runtime.interface import Traits
from fsidfusion.runtime.onnx_model import read_claims, shipped_onnx, weights_hash, write_claims
from fsidfusion.runtime.torch_runtime import TorchRuntime
from fsidfusion.studies.scenes import render_scene

LIGHT = [name for name in names.shipped_models() if "light" in name]


@pytest.fixture(scope="module")
def pairs():
    scenes = [render_scene(seed, (160, 224), time_of_day=time) for seed, time in ((3, "night"), (4, "day"))]
    return [np.stack([luma(scene.infrared) for scene in scenes]), np.stack([luma(s.visible) for s in scenes])]


@pytest.mark.parametrize("name", LIGHT)
def test_every_light_network_is_shipped_as_onnx_and_up_to_date(name):
    """Write them again after a training: python -m fsidfusion.runtime.export."""
    path = names.shipped_file(name).with_suffix(".onnx")
    claims = read_claims(path.read_bytes())
    assert claims["weights_sha256"] == weights_hash(names.shipped_file(name))
    assert Traits(**claims["traits"]) == Traits.of(load_model(name))


@pytest.mark.parametrize("name", LIGHT)
def test_a_shipped_file_computes_what_torch_does(name, pairs):
    model, network = shipped_onnx(name), load_model(name)
    for emphasis in (1.0, 0.0):
        network.emphasis = emphasis
        exact = TorchRuntime(network, "cpu", "fp32")(*pairs)
        fused = CompiledRuntime(model, "onnxruntime", threads=1, emphasis=emphasis)(*pairs)
        np.testing.assert_allclose(fused, exact, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LIGHT if not name.endswith(names.MEDICAL)])
def test_openvino_in_bf16_stays_within_three_grey_levels(name, pairs, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    exact = TorchRuntime(load_model(name), "cpu", "fp32")(*pairs)
    fused = CompiledRuntime(shipped_onnx(name), "openvino", "bf16")(*pairs)
    difference = np.abs(fused - exact)
    assert 1e-4 < difference.max() < MAX_DIFFERENCE  # some of it is bf16 indeed


def test_openvino_keeps_medical_networks_in_fp32(monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    model = shipped_onnx("fsidfusion-light-medical")
    assert CompiledRuntime(model, "openvino").precision == "fp32"
    with pytest.raises(InputError, match="not faithful for this network"):
        CompiledRuntime(model, "openvino", "bf16")


def test_a_file_of_other_weights_is_refused(tmp_path, monkeypatch):
    for ending in (".safetensors", ".onnx"):
        shutil.copy(names.WEIGHTS / f"{LIGHT[0]}{ending}", tmp_path / f"net{ending}")
    monkeypatch.setattr(names, "WEIGHTS", tmp_path)
    assert shipped_onnx("net") is not None
    with (tmp_path / "net.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ModelError, match=r"other weights than net\.safetensors.*runtime\.export"):
        shipped_onnx("net")
    (tmp_path / "net.onnx").unlink()
    assert shipped_onnx("net") is None


def test_claims_are_found_in_any_content():
    claims = {"weights_sha256": "0" * 64, "traits": {"tile_overlap": None}}
    assert read_claims(b"\x08\x0a" + write_claims(claims).encode() + b"\xff{}") == claims
    assert read_claims(b"") == read_claims(b"\x00model") == {}
