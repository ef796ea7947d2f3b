import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsidfusion.errors import FusionError, InputError
from fsidfusion.metrics.table import DEFAULT
from fsidfusion.training.presets import TrainConfig
from fsidfusion.training.run_report import BINS, reported, write_run_report


def logged(run: Path, steps: int = 3 * BINS, validations: int = 2) -> Path:
    """A run that goes through both stages."""
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            first = step <= steps // 3
            losses = {"rec_visible": 1 / step} if first else {"intensity": 0.5, "edges": 0.25}
            stage = "reconstruct" if first else "fuse"
            norm = 1e6 if step == 1 else 1.0
            line = {"step": step, "stage": stage, "seconds": step / 2, "lr": 1e-3, "gradient_norm": norm}
            print(json.dumps(line | losses), file=file)
    for place in range(validations):
        step = steps * (place + 1) // validations
        means = {"TNO<1>": dict.fromkeys(DEFAULT, 1.0 + place)}
        with (run / "validation.jsonl").open("a") as file:
            print(json.dumps({"step": step, "range": "percentile", "mean": means}), file=file)
        (run / "validation").mkdir(exist_ok=True)
        sheet = np.full((20, 30, 3), 50 * place, np.uint8)
        Image.fromarray(sheet).save(run / "validation" / f"{step:08d}.png")
    TrainConfig().save(run / "config.yaml")
    return run


class Page(HTMLParser):
    """Sections, plot titles, text and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.plots: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "section":
            self.sections.append(given["id"])
        if tag == "svg":
            self.plots.append(given["aria-label"])
        self.sources += [given[name] for name in ("src", "href") if name in given]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(run: Path) -> Page:
    return Page(write_run_report(run).read_text("utf-8"))


def test_report_shows_curves_scores_pictures_and_configuration(tmp_path: Path) -> None:
    shown = page(logged(tmp_path))
    assert shown.sections == ["losses", "steps", "scores", "pictures", "configuration"]
    assert shown.plots[:3] == ["Stage I, reconstruction", "Stage II, fusion", "Learning rate"]
    assert shown.plots[4:] == list(DEFAULT)
    for words in ("stopped in Stage II", "TNO<1>", "2.000", "halve_every"):
        assert words in shown.text
    fetched = [place for place in shown.sources if not place.startswith(("data:", "#"))]
    assert fetched == []


def test_report_of_a_young_run(tmp_path: Path) -> None:
    shown = page(logged(tmp_path, steps=2, validations=0))
    assert shown.sections == ["losses", "steps", "configuration"]
    assert "finished" not in shown.text
    (tmp_path / "weights.safetensors").touch()
    assert "finished" in page(tmp_path).text


def test_report_is_written_however_a_run_ends(tmp_path: Path) -> None:
    logged(tmp_path, steps=2, validations=0)
    with pytest.raises(FusionError, match="diverged"), reported(tmp_path):
        raise InputError("diverged")
    assert (tmp_path / "report.html").exists()
    with reported(tmp_path / "nothing"):  # no run there, and no error that would hide another
        pass
    with pytest.raises(FusionError, match="holds no step of a run"):
        write_run_report(tmp_path / "nothing")
