"""Exported files compute what the package does, at any size, and say what they are."""

import json

import numpy as np
import pytest
import torch

from fsidfusion.errors import FusionError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.images.output_range import find_range
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.light import LightFusion
from fsidfusion.runtime.export import ColourForm, export, run_file
from stand_ins import LocalNetwork

FILES = {"onnx": "light.onnx", "openvino": "light.xml", "torchscript": "light.pt"}
MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torch"}


@pytest.fixture(scope="module", params=[0, 8], ids=["plain", "overview"])
def light(request):
    torch.manual_seed(1)
    network = LightFusion(channels=8, width=8, blocks=1, overview=request.param).eval()
    torch.nn.init.normal_(network.output.weight, std=0.05)
    if network.overview is not None:
        torch.nn.init.normal_(network.overview.answer.weight, std=0.1)
    return network


def frames(height, width, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 200, (height, width, 4), np.uint8)
    return coarse[..., 0], np.ascontiguousarray(coarse[..., 1:])


@pytest.mark.parametrize("format", FILES)
def test_frames_in_frames_out_as_the_package_does(format, light, tmp_path):
    pytest.importorskip(MODULES[format])
    path = tmp_path / FILES[format]
    assert export(light, path, colour=True) <= 1 / 255 + 1e-6
    infrared, visible = frames(45, 62)
    found = run_file(path, format, (torch.from_numpy(infrared)[None], torch.from_numpy(visible)[None]))
    expected = Fuser(light, device="cpu", precision="fp32").fuse(infrared, visible)
    assert found.shape == (1, 45, 62, 3)
    assert np.abs(found[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("format", FILES)
def test_luma_files_know_themselves(format, light, tmp_path):
    pytest.importorskip(MODULES[format])
    path = tmp_path / FILES[format]
    assert export(light, path, card={"name": "light", "licence": "MIT"}) < 1e-4
    if format == "onnx":
        import onnx

        found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    elif format == "openvino":
        import openvino

        model = openvino.Core().read_model(path)
        found = {key: model.get_rt_info(["fsidfusion", key]).astype(str) for key in ("licence", "infrared")}
        assert [port.any_name for port in model.inputs] == ["infrared", "visible"]
    else:
        extra = {"fsidfusion.json": ""}
        torch.jit.load(path, _extra_files=extra)
        found = json.loads(extra["fsidfusion.json"])
    assert found["licence"] == "MIT"
    assert "0..1" in found["infrared"]
    left = {path.name} | ({"light.bin"} if format == "openvino" else set())
    assert {file.name for file in tmp_path.iterdir()} == left


@pytest.mark.parametrize("file", ["published.onnx", "published.xml"])
def test_the_published_network_can_be_exported(file, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    assert export(FSIDFusion(channels=16, blocks=1).eval(), tmp_path / file) < 1e-3


@pytest.mark.parametrize("mode", ["percentile", "minmax", "none"])
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (0.3, 0.5), (0.9, 0.95), (0.5, 0.5)])
def test_the_range_in_the_file_is_that_of_the_package(mode, low, high):
    random = np.random.default_rng(2)
    fused = (low + (high - low) * random.random((40, 50), np.float32)).astype(np.float32)
    known = find_range(fused, mode)
    found = ColourForm(LocalNetwork(), mode)._range(torch.from_numpy(fused)[None])
    np.testing.assert_allclose([float(one) for one in found], [known.low, known.high], atol=3e-5)


def test_what_differs_is_not_written(light, tmp_path, monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.export._difference", lambda *_: 2e-3)
    with pytest.raises(FusionError, match="nothing was written"):
        export(light, tmp_path / "light.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, words",
    [("light.tflite", "end it in .onnx"), ("absent/light.pt", "there is no folder")],
)
def test_wrong_outputs_are_said(name, words, light, tmp_path):
    with pytest.raises(FusionError, match=words):
        export(light, tmp_path / name)


def test_a_missing_package_names_the_extra(light, tmp_path, monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.export.is_installed", lambda name: False)
    with pytest.raises(FusionError, match=r"pip install '\.\[torch\]'"):
        export(light, tmp_path / "light.onnx")
