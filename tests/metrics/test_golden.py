"""The eleven metrics against reference values on real pairs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsidfusion.metrics import DEFAULT, score, to_gray8

FUSED = {
    "mix": lambda a, b: np.rint(0.6 * np.maximum(a, b) + 0.4 * (a + b) / 2),
    "max": np.maximum,
    "stretch": lambda a, b: stretch(FUSED["mix"](a, b)),
}


def stretch(image):
    return np.rint((image - image.min()) / (image.max() - image.min()) * 255)


def read(folder: Path, stem: str) -> np.ndarray:
    with Image.open(next(folder.glob(f"{stem}.*"))) as image:
        return to_gray8(np.asarray(image if image.mode == "L" else image.convert("RGB")))


@pytest.mark.parametrize("dataset", ["TNO", "RoadScene", "MRI_CT", "MRI_PET", "MRI_SPECT"])
def test_reference_values(dataset, data_root, golden_root):
    rows = [r for r in json.loads((golden_root / "metrics.json").read_text()) if r["set"] == dataset]
    assert rows
    for row in rows:
        root = data_root / "test" / dataset
        first, second = read(root / row["first"], row["stem"]), read(root / row["second"], row["stem"])
        fused = FUSED[row["fused"]](first.astype(float), second.astype(float))
        found = score(fused, first, second, metrics=(*DEFAULT, "SSIM_legacy"))
        assert found == pytest.approx(row["values"], rel=1e-8), (row["stem"], row["fused"])
