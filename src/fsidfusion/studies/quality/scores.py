"""Every model on every test set, resumable: a score is kept until something it depends on changes."""

import ast
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from fsidfusion.errors import InputError
from fsidfusion.evaluation.evaluate import Evaluation, ScoredPair, Scores, score_pairs, versions
from fsidfusion.evaluation.methods import Model, file_hash, some
from fsidfusion.evaluation.published import COLUMNS
from fsidfusion.fusion.rules import RULES
from fsidfusion.images.atomic import write_text
from fsidfusion.images.pairs import Pair
from fsidfusion.images.sets import PairSet
from fsidfusion.images.text import read_json
from fsidfusion.metrics import DEFAULT

RANGES = ("percentile", "none", "minmax")  # in which networks are scored; the first is their default
METRICS = (*COLUMNS, *(name for name in DEFAULT if name not in COLUMNS))
_SECONDS_BETWEEN_SAVES = 15
_SCORING = ("metrics", "images/output_range.py", "images/pixels.py")  # the code that every score depends on
_NETWORKS = ("network",)
_BASELINES = ("fusion/rules.py",)


@dataclass(frozen=True)
class SetScores:
    """All rows on one set."""

    pairs: PairSet
    evaluations: tuple[Evaluation, ...]
    from_cards: tuple["CardRow", ...] = ()  # of networks that were not scored anew


@dataclass(frozen=True)
class CardRow:
    """The means of a shipped network on one set, as its card has kept them since it was scored."""

    name: str
    weights: str  # sha256 of the file, which is still the one that was scored
    means: dict[str, float]


@dataclass
class _Job:
    """One model on one set."""

    pairs: PairSet
    model: Model
    scores: dict[str, dict[str, Scores]]  # by row and pair: kept and new ones
    missing: list[Pair] = field(default_factory=list)


class Quality:
    """The scores of models on sets, kept in ``scores.json`` of a folder while they are computed.

    A kept score is used again only where the pictures, the weights, the code that computes it (comments and
    docstrings aside), the range, device, precision and runtime are the same.
    """

    def __init__(self, sets: Sequence[PairSet], models: Sequence[Model], folder: Path) -> None:
        """Find out what is missing. InputError for a damaged ``scores.json``."""
        self.path = folder / "scores.json"
        self._kept = self._load()
        self.jobs: list[_Job] = []
        for pairs in sets:
            pictures = pictures_hash(pairs.pairs)
            for model in (model.suited(pairs.task) for model in models):
                rows = {
                    row: self._scores(pairs.name, row, identity(model, row, pictures)) for row in model.rows
                }
                missing = [p for p in pairs.pairs if any(p.name not in scores for scores in rows.values())]
                self.jobs.append(_Job(pairs, model, rows, missing))

    @property
    def missing(self) -> int:
        """How many pairs are still to be fused and scored, over all sets and models."""
        return sum(len(job.missing) for job in self.jobs)

    def run(
        self, threads: int | None = None, progress: Callable[[ScoredPair], None] = lambda scored: None
    ) -> list[SetScores]:
        """Score what is missing, saving now and then and at the end, also where the run is stopped.

        Args:
            threads: threads; one for every core by default.
            progress: called after each pair, from the calling thread.

        Raises:
            InputError: a pair that cannot be fused or scored, or a folder that cannot be written.
        """
        saved = time.monotonic()

        def keep(scored: ScoredPair) -> None:
            nonlocal saved
            for row, scores in scored.scores.items():
                job.scores[row][scored.pair.name] = scores
            progress(scored)
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                self._save()
                saved = time.monotonic()

        try:
            for job in self.jobs:
                score_pairs(job.missing, [job.model], keep, METRICS, threads=threads)
                job.missing = []
        finally:
            self._save()
        return self._results()

    def _results(self) -> list[SetScores]:
        results = []
        for name in dict.fromkeys(job.pairs.name for job in self.jobs):
            jobs = [job for job in self.jobs if job.pairs.name == name]
            results.append(
                SetScores(jobs[0].pairs, tuple(_evaluation(job, row) for job in jobs for row in job.scores))
            )
        return results

    def _scores(self, name: str, row: str, identity: dict[str, Any]) -> dict[str, Scores]:
        """What is kept of a row on a set: empty where it was computed from something else."""
        entry = self._kept.setdefault(name, {}).get(row)
        if entry is None or entry["identity"] != identity:
            entry = self._kept[name][row] = {"identity": identity, "scores": {}}
        return entry["scores"]

    def _load(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            kept = read_json(self.path, dict[str, dict[str, _Kept]], "file of kept scores")
        except InputError as error:
            raise InputError(f"{self.path} holds no kept scores ({error}); remove it") from error
        return {
            name: {
                row: {
                    "identity": entry.identity,
                    "scores": {
                        pair: {m: math.nan if v is None else v for m, v in scores.items()}
                        for pair, scores in entry.scores.items()
                    },
                }
                for row, entry in rows.items()
            }
            for name, rows in kept.items()
        }

    def _save(self) -> None:
        kept = {
            name: {row: {**entry, "scores": _without_nan(entry["scores"])} for row, entry in rows.items()}
            for name, rows in self._kept.items()
        }
        write_text(self.path, json.dumps(kept, allow_nan=False))


class _Kept(msgspec.Struct):
    """The scores of a row by pair, None where undefined, and what they depend on."""

    identity: dict[str, Any]
    scores: dict[str, dict[str, float | None]]


def open_models(
    names: Sequence[str],
    device: str = "auto",
    precision: str = "fp32",
    runtime: str = "torch",
    in_bf16: Sequence[str] = (),
) -> list[Model]:
    """Load networks under all output ranges, and baselines under theirs.

    Args:
        names: shipped networks, .safetensors files, baselines; by default all shipped networks, the default
            one first, and all baselines.
        device: of networks.
        precision: of networks.
        runtime: of networks.
        in_bf16: networks among them that compute in bf16, whatever ``precision`` says.

    Raises:
        InputError: all of :class:`Model`'s, a network in bf16 that is not among them, two models of one name.
    """
    chosen = list(dict.fromkeys(names or _all_models()))
    unknown = sorted(set(in_bf16) - set(chosen))
    if unknown:
        raise InputError(f"{some(unknown)} should compute in bf16, but the models are {', '.join(chosen)}")
    models = [
        Model(
            name,
            () if name in RULES else RANGES,
            device,
            "bf16" if name in in_bf16 else precision,
            runtime,
        )
        for name in chosen
    ]
    twice = [
        model.name for place, model in enumerate(models) if model.name in {m.name for m in models[:place]}
    ]
    if twice:
        raise InputError(f"two models are called {some(twice)}; rename one of the files")
    return models


def with_card_rows(results: Sequence[SetScores], names: Sequence[str]) -> list[SetScores]:
    """The same results, with the rows of networks whose cards tell them, under the default range.

    It spares the hours that the published network takes on a CPU. Medical sets take the card of the medical
    weights, where the network has such.

    Raises:
        InputError: a name that is none of the shipped networks, a card without a set, or one that was scored
            with other weights than the file holds.
    """
    from fsidfusion.network.names import WEIGHTS, model_card, suited

    extended = []
    for result in results:
        rows = []
        for name in names:
            file = suited(name, result.pairs.task == "medical")
            scores = model_card(file).get("scores", {})
            weights = file_hash(WEIGHTS / f"{file}.safetensors")
            means = scores.get("sets", {}).get(result.pairs.name)
            if scores.get("weights_sha256") != weights or means is None:
                raise InputError(
                    f"the card of {file} has no scores of its present weights on {result.pairs.name};"
                    " score it instead of keeping them"
                )
            values = {m: math.nan if means.get(m) is None else float(means[m]) for m in METRICS}
            rows.append(CardRow(name, weights, values))
        extended.append(replace(result, from_cards=tuple(rows)))
    return extended


def _all_models() -> list[str]:
    from fsidfusion.network.names import shipped_networks

    return [*shipped_networks(), *RULES]


def shown_models(models: Sequence[Model]) -> list[Model]:
    """The models whose pictures a report shows: the first, and the pixel maximum or else the second."""
    others = [model for model in models[1:] if model.name == "maximum"] or list(models[1:2])
    return [models[0], *others]


def identity(model: Model, row: str, pictures: str) -> dict[str, Any]:
    """All that the scores of a row on a set depend on, as JSON holds it."""
    source = model.describe(row)
    return {
        **source,
        "device": source["device"].partition(":")[0],
        "pictures": pictures,
        "metrics": list(METRICS),
        "code": code_hash((*_SCORING, *(_BASELINES if model.is_baseline else _NETWORKS))),
    }


def pictures_hash(pairs: Sequence[Pair]) -> str:
    """One sha256 of the names and the files of all pairs."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {file_hash(pair.infrared)} {file_hash(pair.visible)}\n".encode())
    return digest.hexdigest()


@cache
def code_hash(places: tuple[str, ...]) -> str:
    """One sha256 of modules and folders of this package as they compute: without comments and docstrings."""
    root = Path(str(files("fsidfusion")))
    digest = hashlib.sha256()
    for place in places:
        path = root / place
        for module in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            tree = ast.parse(module.read_text("utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                    node.body = node.body[1:] or [ast.Pass()]
            digest.update(f"{module.name}\n{ast.unparse(tree)}\n".encode())
    return digest.hexdigest()


def _evaluation(job: _Job, row: str) -> Evaluation:
    ordered = {pair.name: job.scores[row][pair.name] for pair in job.pairs.pairs}
    return Evaluation(row, "cddfuse", ordered, {}, {**job.model.describe(row), "versions": versions()})


def _without_nan(scores: dict[str, Scores]) -> dict[str, dict[str, float | None]]:
    return {
        pair: {metric: None if math.isnan(value) else value for metric, value in row.items()}
        for pair, row in scores.items()
    }
