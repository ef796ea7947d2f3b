"""Every kind of page shows text as text, and fetches nothing."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.evaluation.sets import published_layout
from fsidfusion.fusion.files import Outcome
from fsidfusion.fusion.measured import measured_page
from fsidfusion.fusion.volumes.report import build_report as build_volume_page
from fsidfusion.fusion.volumes.views import Shown as VolumeShown
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.report.page import Card, Section, Swatch, cards, fill_page, heading, legend, table, tile, webp
from fsidfusion.studies.downstream.comparison import Run
from fsidfusion.studies.downstream.comparison_report import Study, Table
from fsidfusion.studies.downstream.comparison_report import build_report as build_comparison_page
from fsidfusion.studies.downstream.inputs import Input
from fsidfusion.studies.downstream.segmentation.pictures import confusion_plot
from fsidfusion.studies.explain.measure import PLACES, TRAINED, Agreement, Explained
from fsidfusion.studies.explain.report import build_page as build_explain_page
from fsidfusion.studies.quality.gallery import Shown
from fsidfusion.studies.quality.report import build_report as build_quality_page
from fsidfusion.studies.quality.scores import Quality, open_models
from fsidfusion.thermal.measure import Measures
from fsidfusion.training.presets import TrainConfig
from fsidfusion.training.run_report import build_run_report

HOSTILE = "<img src=x onerror=alert(1)>.png"
DOT = webp(np.zeros((4, 4, 3), np.uint8))


class Reader(HTMLParser):
    """Text, what a browser would fetch, and handlers of events in the HTML."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.fetched, self.handlers = "", [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.text += "".join(
            value or "" for name, value in attrs if name in ("alt", "aria-label", "data-name")
        )

    def handle_data(self, data):
        self.text += data


def volumes(tmp_path, data) -> str:
    voxels = np.zeros((4, 5, 6), np.uint8)
    shown = [VolumeShown(HOSTILE, voxels), VolumeShown("fused", voxels)]
    return build_volume_page(shown, np.eye(4), {HOSTILE: HOSTILE}, [HOSTILE], b"", "axial")


def run(tmp_path, data) -> str:
    step = {"step": 1, "stage": "fuse", "seconds": 1.0, "lr": 1e-3, "gradient_norm": 1.0, HOSTILE: 0.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(step) + "\n")
    means = {"step": 1, "range": HOSTILE, "mean": {HOSTILE: {"VIF": 1.0}}}
    (tmp_path / "validation.jsonl").write_text(json.dumps(means) + "\n")
    TrainConfig().save(tmp_path / "config.yaml")
    return build_run_report(tmp_path)


def comparison(tmp_path, data) -> str:
    study = Study("x", HOSTILE, "fsidfusion x", [HOSTILE], [Table(HOSTILE, {HOSTILE: "a"})], HOSTILE)
    runs = [
        Run(Input(name, kind, "f" * 64), seed, {"a": 0.5}, 60.0, "2026-01-02", "cpu", Path())
        for name, kind in ((HOSTILE, "ours"), ("other" + HOSTILE, "visible"))
        for seed in (0, 1)
    ]
    drawn = confusion_plot(np.ones((1, 1), np.int64), [HOSTILE], HOSTILE)
    extra = [Section("more", HOSTILE, HOSTILE, drawn)]
    return build_comparison_page(study, runs, [Card(HOSTILE, [HOSTILE], {HOSTILE: DOT})], extra)


def quality(tmp_path, data) -> str:
    sets = published_layout([data], ["TNO"])
    models = open_models(["mean"])
    results = Quality(sets, models, tmp_path).run()
    strange = replace(sets[0], name=HOSTILE)
    scores = next(iter(results[0].evaluations[0].scores.values()))
    gallery = [Shown(HOSTILE, HOSTILE, ("best VIF",), scores, {HOSTILE: DOT})]
    return build_quality_page([replace(results[0], pairs=strange)], models, gallery)


def explain(tmp_path, data) -> str:
    gray = np.zeros((8, 8), np.uint8)
    agreement = {place: Agreement(0.5, 0.5, 0.5) for place in PLACES}
    one = Explained(
        pair=HOSTILE,
        infrared=gray,
        visible=gray,
        fused=gray,
        features=None,
        agreement=agreement,
        drift={},
        moved={},
        reconstruction={},
    )
    return build_explain_page([one], {TRAINED: HOSTILE}, gray, gray)


def measured(tmp_path, data) -> str:
    warm = Measures(-5.0, 36.5, 20.0, float("nan"), (0, 0), (3, 4))
    files = [Path(f"{HOSTILE}{index}.png".replace("/", "")) for index in range(3)]
    write_picture(tmp_path / "fused.png", Picture(np.full((300, 400, 3), 4000, np.uint16)))
    outcomes = [
        Outcome(Pair(HOSTILE, file, file), tmp_path / "fused.png", status, 300, 400, 0.1, HOSTILE, measures)
        for file, status, measures in zip(files, ("fused", "failed", "skipped"), (warm, None, None))
    ]
    return measured_page(outcomes)


@pytest.fixture(
    scope="module",
    params=[volumes, run, comparison, quality, explain, measured],
    ids=lambda kind: kind.__name__,
)
def page(request, rendered, tmp_path_factory) -> str:
    return request.param(tmp_path_factory.mktemp("page"), rendered)


def test_a_hostile_name_is_shown_as_text(page):
    shown = Reader(page)
    assert shown.handlers == []
    assert HOSTILE in shown.text
    assert "<img src=x" not in page
    assert all(source.startswith(("data:", "#")) for source in shown.fetched)
    assert page.startswith("<!doctype html>")
    assert "{{" not in page and "{%" not in page


def test_pieces_escape_what_they_are_given():
    body = table([HOSTILE], [[HOSTILE, HOSTILE]]) + heading(HOSTILE) + legend(Swatch(HOSTILE))
    body += tile(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE)
    body += cards([Card(HOSTILE, [HOSTILE], {HOSTILE: DOT}, HOSTILE)])
    assert "<img src=x" not in body
    page = fill_page(HOSTILE, HOSTILE, [], [Section('"><b>', HOSTILE, HOSTILE, HOSTILE)], [HOSTILE])
    assert "<img src=x" not in page
    assert 'id="&#34;&gt;&lt;b&gt;"' in page
