"""The eleven metrics against reference values on real pairs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsidfusion.metrics import DEFAULT, mean_scores, score, to_gray8

pytestmark = pytest.mark.slow

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


def test_baselines_of_the_documentation(data_root):
    documented = {
        "max": (6.81, 40.01, 10.06, 3.77, 4.71, 1.54, 0.924, 0.599, 1.343),
        "mean": (6.23, 26.11, 6.95, 2.67, 1.60, 1.54, 0.573, 0.356, 1.457),
    }
    names = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")
    rows = {"max": [], "mean": []}
    root = data_root / "test" / "TNO"
    for path in sorted((root / "ir").iterdir()):
        first, second = read(root / "ir", path.stem), read(root / "vi", path.stem)
        rows["max"].append(score(np.maximum(first, second), first, second, names, pair=path.stem))
        mean = np.rint((first.astype(float) + second) / 2)
        rows["mean"].append(score(mean, first, second, names, pair=path.stem))
    for name, expected in documented.items():
        means, counts = mean_scores(rows[name])
        assert set(counts.values()) == {25}
        assert tuple(means.values()) == pytest.approx(expected, abs=0.006), name
