"""The page and the pictures of an explanation: figures against claims, and feature maps to look at."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fsidfusion import __version__
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.sheet import Labelled, contact_sheet
from fsidfusion.report.page import Section, body, fill_page, picture, plots, table, tile, webp
from fsidfusion.report.plots import Bar, Kind, Point, bars, scatter
from fsidfusion.studies.explain.measure import FREE, PARTS, PLACES, STAGE_ONE, TRAINED, Explained, Modalities

SHOWN = 4  # pairs with pictures of their features
CHANNELS = 5  # single channels of the first pair
_KINDS: dict[str, Kind] = {TRAINED: "ours", FREE: "baseline", STAGE_ONE: "reference"}
_NAMES = {TRAINED: "with regularisation", FREE: FREE, STAGE_ONE: "stage I"}


def write_explanation(explained: Sequence[Explained], weights: dict[str, str], output: Path) -> list[Path]:
    """Write the page to ``output`` (.html), or into that folder, with figures.json and the contact sheets.

    Args:
        explained: at least one pair.
        weights: name of each network -> what was loaded, for the record.
        output: a file .html, or a folder.
    """
    overview, channels = feature_sheet(explained[:SHOWN]), channel_sheet(explained[0])
    page = build_page(explained, weights, overview, channels)
    if output.suffix.lower() in (".html", ".htm"):
        return [_write(output, page.encode())]
    figures = {
        "weights": weights,
        "pairs": {
            one.pair: {
                "agreement": {place: asdict(values) for place, values in one.agreement.items()},
                "drift": {key: {p: asdict(d) for p, d in parts.items()} for key, parts in one.drift.items()},
                "reconstruction": one.reconstruction,
            }
            for one in explained
        },
    }
    written = [_write(output / "report.html", page.encode())]
    written.append(_write(output / "figures.json", (json.dumps(figures, indent=1) + "\n").encode()))
    for name, sheet in (("features.png", overview), ("channels.png", channels)):
        written.append(_write(output / name, _png(sheet)))
    return written


def claims(explained: Sequence[Explained]) -> list[tuple[str, str, str]]:
    """(claim, what was measured, of how many pairs it holds) for every claim that could be measured."""
    n = len(explained)

    def mean(place: str, name: str) -> float:
        return math.fsum(getattr(one.agreement[place], name) for one in explained) / n

    before, after, specific = PLACES
    rose = sum(one.agreement[after].correlation > one.agreement[before].correlation for one in explained)
    apart = sum(one.agreement[specific].strength < one.agreement[after].strength for one in explained)
    rows = [
        (
            "The interaction brings the shared features of the two modalities together",
            f"correlation {mean(before, 'correlation'):.3f} before, {mean(after, 'correlation'):.3f} after "
            f"(CKA {mean(before, 'similarity'):.3f}, {mean(after, 'similarity'):.3f})",
            f"{rose} of {n}",
        ),
        (
            "The specific features have less in common than the shared ones",
            f"|r| {mean(specific, 'strength'):.3f} of specific, {mean(after, 'strength'):.3f} of shared "
            f"(CKA {mean(specific, 'similarity'):.3f}, {mean(after, 'similarity'):.3f})",
            f"{apart} of {n}",
        ),
    ]
    for name, parts in (("shared", PARTS[:1]), ("specific", PARTS[1:])):
        distances = {key: [_distance(one, key, parts) for one in explained] for key in explained[0].drift}
        if len(distances) == 2:
            held = sum(ours < free for ours, free in zip(distances[TRAINED], distances[FREE]))
            rows.append(
                (
                    f"Regularisation by reconstruction holds the {name} features against drift",
                    f"distance from stage I {math.fsum(distances[TRAINED]) / n:.3f} with it, "
                    f"{math.fsum(distances[FREE]) / n:.3f} without",
                    f"{held} of {n}",
                )
            )
        elif distances:
            claim = f"Drift of the {name} features from stage I to stage II"
            rows.append((claim, f"distance {math.fsum(distances[TRAINED]) / n:.3f}", "-"))
    errors = [one.reconstruction for one in explained]
    if FREE in errors[0]:
        kept = sum(error[TRAINED] < error[FREE] for error in errors)
        means = {key: math.fsum(error[key] for error in errors) / n for key in errors[0]}
        rows.append(
            (
                "It keeps both images in the features, to be decoded again",
                f"error {means[STAGE_ONE]:.2f} grey levels after stage I, {means[TRAINED]:.2f} with it, "
                f"{means[FREE]:.2f} without",
                f"{kept} of {n}",
            )
        )
    return rows


def build_page(
    explained: Sequence[Explained],
    weights: dict[str, str],
    overview: NDArray[np.uint8],
    channels: NDArray[np.uint8],
) -> str:
    """The report as HTML."""
    rows = claims(explained)
    sections = [
        Section("claims", "Claims", "means over all pairs", table(["claim", "measured", "pairs"], rows)),
        Section("agreement", "Two modalities", "how alike their features are", _agreement_plots(explained)),
    ]
    if explained[0].drift:
        sections.append(Section("drift", "Drift", "from stage I to stage II", _drift_plots(explained)))
    about = "three main components of the features as colours, one basis for both modalities of a column"
    sections.append(Section("maps", "Feature maps", about, picture(webp(overview), about)))
    about = f"the {CHANNELS} channels that vary most, of {explained[0].pair}"
    sections.append(Section("channels", "Channels", about, picture(webp(channels), about)))
    tiles = [tile(holds, f"pairs: {claim}") for claim, _, holds in rows if holds != "-"]
    notes = [f"{name}: {source}" for name, source in weights.items()]
    notes += [
        "Correlation: Pearson's r over pixels of each channel and its namesake, mean over channels. CKA:"
        " linear centred kernel alignment, which needs no matching of channels.",
        "Distance: |now - then| / |then|, of all channels and pixels.",
    ]
    number = f"{len(explained)} pair{'s' * (len(explained) > 1)}"
    return fill_page("What the features do", f"{number}; fsidfusion {__version__}", tiles, sections, notes)


def feature_sheet(explained: Sequence[Explained]) -> NDArray[np.uint8]:
    """Two rows a pair, infrared and visible: image, shared features before and after, specific features; then
    the fused picture and, where stage I is known, how far the shared features of each pixel have drifted.
    """
    rows: list[list[Labelled]] = []
    for one in explained:
        features = one.features
        places = (features.shared_before, features.shared_after, features.specific)
        maps = [component_maps(both) for both in places]
        pair: list[list[Labelled]] = []
        for side, image in enumerate((one.infrared, one.visible)):
            name = f"{one.pair}, {('infrared', 'visible')[side]}"
            pair.append([(name, image), *((place, both[side]) for place, both in zip(PLACES, maps))])
        pair[0].append(("fused", one.fused))
        highest = max((float(np.quantile(moved, 0.99)) for moved in one.moved.values()), default=0.0) or 1.0
        for row, (key, moved) in zip(reversed(pair), one.moved.items()):
            shown = np.rint(np.clip(moved / highest, 0, 1) * 255).astype(np.uint8)
            row.append((f"drift, {_NAMES[key]}", shown))
        rows += pair
    return contact_sheet(rows, 220)


def channel_sheet(one: Explained) -> NDArray[np.uint8]:
    """The channels that vary most, in both modalities at each place; gray, one scale for both."""
    features = one.features
    rows: list[list[Labelled]] = []
    for place, both in zip(PLACES, (features.shared_before, features.shared_after, features.specific)):
        deviation = sum(side.flatten(1).std(1) for side in both)
        assert isinstance(deviation, Tensor)
        chosen = deviation.argsort(descending=True)[:CHANNELS].tolist()
        for side, name in enumerate(("infrared", "visible")):
            row: list[Labelled] = []
            for channel in chosen:
                values = torch.stack([x[channel] for x in both]).float().cpu().numpy()
                low, high = np.quantile(values, (0.01, 0.99))
                shown = np.clip((values[side] - low) / max(high - low, 1e-9), 0, 1)
                row.append((f"{place}, {name} {channel}", np.rint(shown * 255).astype(np.uint8)))
            rows.append(row)
    return contact_sheet(rows, 180)


def component_maps(both: Modalities) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both feature maps (C, H, W) as colours (H, W, 3): their first three principal components.

    The basis and the scale are those of both together, so equal colours are equal features.
    """
    pixels = torch.stack(both).flatten(2).transpose(1, 2).double().cpu()  # (2, H W, C)
    mean = pixels.mean((0, 1))
    centred = (pixels - mean).flatten(0, 1)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors[:, -3:].flip(1)  # ascending order of variance
    basis = basis * basis.sum(0).sign().where(basis.sum(0) != 0, 1)  # eigenvectors have no sign of their own
    projected = centred @ basis
    low, high = (np.quantile(projected.numpy(), q, axis=0) for q in (0.01, 0.99))
    shown = np.clip((projected.numpy() - low) / np.maximum(high - low, 1e-9), 0, 1)
    height, width = both[0].shape[1:]
    colours = np.rint(shown * 255).astype(np.uint8).reshape(2, height, width, -1)
    colours = np.pad(colours, ((0, 0),) * 3 + ((0, 3 - colours.shape[3]),))
    return colours[0], colours[1]


def _agreement_plots(explained: Sequence[Explained]) -> Markup:
    before, after, _ = PLACES
    kinds: tuple[Kind, ...] = ("baseline", "ours", "reference")
    drawn, dots = [], []
    for title, name in (("Correlation |r|", "strength"), ("Linear CKA", "similarity")):
        means = [
            math.fsum(getattr(one.agreement[p], name) for one in explained) / len(explained) for p in PLACES
        ]
        drawn.append(bars(title, [Bar(p, m, f"{m:.3f}", kind) for p, m, kind in zip(PLACES, means, kinds)]))
    for title, name in (
        ("Correlation of shared", "correlation"),
        ("CKA of shared", "similarity"),
    ):
        points = [
            Point(one.pair, getattr(one.agreement[before], name), getattr(one.agreement[after], name), "ours")
            for one in explained
        ]
        dots.append(scatter(f"{title}; above the line: closer", "before", "after", points, diagonal=True))
    return body(plots(drawn), plots(dots))


def _drift_plots(explained: Sequence[Explained]) -> Markup:
    drawn = []
    for title, name in (("Distance", "distance"), ("1 - CKA", "dissimilarity")):
        rows = []
        for part in PARTS:
            for key in explained[0].drift:
                mean = math.fsum(getattr(one.drift[key][part], name) for one in explained) / len(explained)
                label = part if key == TRAINED else "without"
                rows.append(Bar(label, mean, f"{mean:.3f}", _KINDS[key]))
        drawn.append(bars(f"{title}{', with and without' * (FREE in explained[0].drift)}", rows))
    if explained[0].reconstruction:
        rows = []
        for key in (STAGE_ONE, TRAINED, FREE):
            if key in explained[0].reconstruction:
                mean = math.fsum(one.reconstruction[key] for one in explained) / len(explained)
                rows.append(
                    Bar({FREE: "without", TRAINED: "with"}.get(key, key), mean, f"{mean:.2f}", _KINDS[key])
                )
        drawn.append(bars("Error of the reconstructions, grey levels", rows))
    if FREE in explained[0].drift:
        points = [
            Point(
                f"{one.pair}, {part}",
                one.drift[FREE][part].distance,
                one.drift[TRAINED][part].distance,
                "ours",
            )
            for one in explained
            for part in PARTS
        ]
        title = "Distance; below the line: held"
        return body(plots(drawn), plots([scatter(title, "without", "with", points, diagonal=True)]))
    return plots(drawn)


def _distance(one: Explained, key: str, parts: Sequence[str]) -> float:
    return math.fsum(one.drift[key][part].distance for part in parts) / len(parts)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)
    return path
