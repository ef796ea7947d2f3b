import math
from dataclasses import replace
from pathlib import Path

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.studies.downstream.comparison import Run, compare, differences, summarise
from fsidfusion.studies.downstream.comparison_report import (
    Study,
    Table,
    build_report,
    to_markdown,
)
from fsidfusion.studies.downstream.inputs import Input
from fsidfusion.studies.pages import write_part

VISIBLE, OURS, MEAN = Input("visible"), Input("ours", "ours", "f" * 64), Input("mean", "mean")
STUDY = Study(
    "detection", "Object <detection>", "fsidfusion x", ["About it."], [Table("All", {"A": "a", "B": "b"})]
)


class Learner:
    """Scores by name and seed, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, job):
        self.asked.append((job.input.name, job.seed))
        job.tick(0.5)
        (job.folder / "left").write_text(str(job.seed))
        return {"a": len(job.input.name) / 10 + job.seed / 100, "b": math.nan}


def test_every_input_has_its_turn_under_one_seed_before_the_next(tmp_path):
    learner, progress = Learner(), []
    runs = compare((VISIBLE, OURS), (0, 1), learner, tmp_path, {}, device="cpu", progress=progress.append)
    assert learner.asked == [("visible", 0), ("ours", 0), ("visible", 1), ("ours", 1)]
    assert [(run.input.name, run.seed) for run in runs] == [
        ("visible", 0),
        ("visible", 1),
        ("ours", 0),
        ("ours", 1),
    ]
    assert (runs[1].folder / "left").read_text() == "1"
    assert [(at.done, at.share) for at in progress[:4]] == [(0, 0), (0, 0.5), (0, 1), (1, 0)]
    assert progress[-1].done == 3 and progress[-1].seconds_left == 0


def test_finished_runs_are_kept_until_something_changes(tmp_path):
    compare((VISIBLE,), (0, 1), Learner(), tmp_path, {"size": (1, 2)}, device="cpu")
    learner = Learner()
    runs = compare((VISIBLE, OURS), (0, 1), learner, tmp_path, {"size": (1, 2)}, device="cuda")
    assert learner.asked == [("ours", 0), ("ours", 1)]
    assert [run.device for run in runs] == ["cpu", "cpu", "cuda", "cuda"]
    assert runs[1].scores["a"] == 0.71 and math.isnan(runs[1].scores["b"])
    learner = Learner()
    compare((VISIBLE,), (0,), learner, tmp_path, {"size": (1, 3)}, device="cpu")
    changed = Input("ours", "ours", "e" * 64)
    compare((changed,), (0,), learner, tmp_path, {"size": (1, 2)}, device="cpu")
    assert learner.asked == [("visible", 0), ("ours", 0)]


def test_a_stopped_run_goes_on_with_the_same_things_only(tmp_path):
    class Stopped(Learner):
        def __call__(self, job):
            super().__call__(job)
            job.training.mkdir(exist_ok=True)
            found = sorted(path.name for path in job.training.iterdir())
            (job.training / str(len(found))).touch()
            if len(found) < 2:
                raise KeyboardInterrupt
            return {"a": 1.0}

    learner = Stopped()
    for identity in ({"size": 1}, {"size": 1}, {"size": 2}, {"size": 2}):
        with pytest.raises(KeyboardInterrupt):
            compare((VISIBLE,), (0,), learner, tmp_path, identity, device="cpu")
    runs = compare((VISIBLE,), (0,), learner, tmp_path, {"size": 2}, device="cpu")
    assert [path.name for path in sorted(runs[0].folder.iterdir())] == ["left", "result.json"]
    compare((VISIBLE,), (0,), learner, tmp_path, {"size": 2}, device="cpu")
    assert len(learner.asked) == 5


def test_no_run_is_begun_that_would_end_too_late(tmp_path):
    runs = compare((VISIBLE, OURS), (0,), Learner(), tmp_path, {}, device="cpu", max_minutes=0)
    assert [run.input for run in runs] == [VISIBLE]
    runs = compare((VISIBLE, OURS), (0,), Learner(), tmp_path, {}, device="cpu", max_minutes=0)
    assert [run.input for run in runs] == [VISIBLE, OURS]


def test_a_damaged_result_is_named(tmp_path):
    compare((VISIBLE,), (0,), Learner(), tmp_path, {}, device="cpu")
    path = tmp_path / "runs" / "visible-seed0" / "result.json"
    path.write_text("{}")
    with pytest.raises(FusionError, match=r"result.json holds no kept result"):
        compare((VISIBLE,), (0,), Learner(), tmp_path, {}, device="cpu")


def finished(scores):
    return [
        Run(given, seed, {"a": value, "b": math.nan}, 60.0, "2026-01-02", "cpu", Path())
        for given, values in scores.items()
        for seed, value in enumerate(values)
    ]


RUNS = finished({VISIBLE: (0.1, 0.2, 0.3), OURS: (0.3, 0.5, 0.4), MEAN: (0.2, 0.3, math.nan)})


def test_means_spreads_and_differences_over_the_seeds():
    result = summarise(RUNS, "a")
    assert (result[VISIBLE].mean, result[VISIBLE].spread) == pytest.approx((0.2, 0.1))
    assert result[MEAN].seeds == 2 and str(result[MEAN]) == "0.250 ± 0.071"
    assert str(summarise(RUNS, "b")[OURS]) == "–"
    assert str(summarise(RUNS[:1], "a")[VISIBLE]) == "0.100"
    above = differences(RUNS, "a", OURS)
    assert list(above) == [VISIBLE, MEAN]
    assert (above[VISIBLE].mean, above[VISIBLE].spread) == pytest.approx((0.2, 0.1))
    assert (above[MEAN].mean, above[MEAN].seeds) == (pytest.approx(0.15), 2)


def test_the_markdown_tells_all_and_goes_between_its_markers(tmp_path):
    text = to_markdown(STUDY, RUNS)
    assert "| ours | **0.400 ± 0.100** | – |" in text
    assert "| visible | +0.200 ± 0.100 | – |" in text
    assert "Seeds 0, 1, 2; 1.0 minutes a run, 9 in all, on cpu." in " ".join(text.split())
    assert "`fsidfusion x`, fsidfusion" in text and "2026-01-02" in text and "f" * 64 in text
    page = tmp_path / "results.md"
    page.write_text("before\n<!-- detection:begin -->\nold\n<!-- detection:end -->\nafter\n")
    write_part(page, STUDY.name, text)
    assert page.read_text() == (f"before\n<!-- detection:begin -->\n{text}<!-- detection:end -->\nafter\n")


def test_the_report_is_whole_and_fetches_nothing():
    page = build_report(STUDY, RUNS)
    assert "{{" not in page and "Object &lt;detection&gt;" in page
    assert page.count("<section") == page.count("</section>") == 2
    assert page.count('class="whisker"') == 3
    assert "http:" not in page and "https:" not in page and "url(" not in page


def test_the_first_network_is_set_against_the_others_in_all_its_colours():
    warm, other = Input("ours+heat", "ours", "f" * 64, "heat"), Input("other", "other", "e" * 64)
    runs = [*RUNS, *(replace(RUNS[0], input=given) for given in (warm, other))]
    titles = [f"{given} above each other input" for given in ("ours", "ours+heat")]
    for text in (to_markdown(STUDY, runs), build_report(STUDY, runs)):
        assert all(text.count(f"{title}<" if "<" in text[:1] else f" {title}\n") == 1 for title in titles)
        assert "other above" not in text
        assert "marks pictures fused in heat colours" in " ".join(text.split())
    assert "above each other input" not in to_markdown(STUDY, RUNS[:1])


def test_an_unfinished_comparison_says_so():
    assert "not every input has had all seeds yet" in " ".join(to_markdown(STUDY, RUNS[:4]).split())
    assert "| visible | **0.100** | – |" in to_markdown(STUDY, RUNS[:1])  # one run is enough
