"""OpenVINO's engine: single pictures of usual sizes get a network of their own, of the same pixels."""

import numpy as np
import pytest

from fsidfusion.network.names import shipped_file

openvino_engine = pytest.importorskip("fsidfusion.runtime.openvino_engine")
pytest.importorskip("openvino")


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(openvino_engine, "OWN_PIXELS", (64 * 64, 96 * 96))
    monkeypatch.setattr(openvino_engine, "KEPT_PIXELS", 3 * 64 * 64)
    content = shipped_file("fsidfusion-light").with_suffix(".onnx").read_bytes()
    return openvino_engine.OpenVinoEngine(content, "fp32", 1)


def pair(height, width, batch=1):
    return np.random.default_rng(0).random((2, batch, height, width), np.float32)


def test_a_network_of_one_size_computes_what_one_of_any_size_does(engine):
    own = engine(*pair(64, 80))
    assert list(engine._networks) == [(64, 80)]
    both = engine(*(np.repeat(image, 2, 0) for image in pair(64, 80)))  # more than one: of any size
    assert list(engine._networks) == [(64, 80), None]
    np.testing.assert_allclose(own, both[:1], atol=1e-5)


def test_which_network_computes_depends_on_the_size_alone(engine):
    first = engine(*pair(64, 64))
    for size in ((32, 32), (80, 96), (112, 96), (64, 80)):
        engine(*pair(*size))
    assert list(engine._networks) == [None, (64, 80)]  # the others were let go
    np.testing.assert_array_equal(engine(*pair(64, 64)), first)
