"""The one table of all metrics, and ``score``, which computes a choice of them on one fused pair."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from fsidfusion.errors import InputError
from fsidfusion.metrics.contrast import average_gradient, spatial_frequency, standard_deviation
from fsidfusion.metrics.correlation import correlation, sum_of_difference_correlations
from fsidfusion.metrics.edges import edge_preservation, fusion_artifacts
from fsidfusion.metrics.features import feature_mutual_information
from fsidfusion.metrics.fidelity import peak_signal_to_noise, visual_information_fidelity
from fsidfusion.metrics.gray import ImageLike, as_triple
from fsidfusion.metrics.information import entropy, mutual_information
from fsidfusion.metrics.perceptual import chen_blum, chen_varshney
from fsidfusion.metrics.structure import (
    gaussian_structural_similarity,
    multi_scale_structural_similarity,
    structural_similarity,
)

Convention = Literal["cddfuse", "tang"]
CONVENTIONS: tuple[Convention, ...] = ("cddfuse", "tang")


@dataclass(frozen=True)
class Metric:
    """One row of the table: ``function`` takes (fused) or, with ``uses_sources``, (fused, first, second)."""

    name: str
    function: Callable[..., float]
    uses_sources: bool
    higher_is_better: bool
    unit: str  # "" for a plain number
    convention: Convention | Literal["all"]
    source: str


METRICS: tuple[Metric, ...] = (
    Metric("EN", entropy, False, True, "bit", "all", "Roberts 2008"),
    Metric("SD", standard_deviation, False, True, "level", "all", "Rao 1997"),
    Metric("SF", spatial_frequency, False, True, "level", "all", "Eskicioglu 1995"),
    Metric("AG", average_gradient, False, True, "level", "cddfuse", "Cui 2015"),
    Metric("AG", partial(average_gradient, share_of_inner=True), False, True, "level", "tang", "Cui 2015"),
    Metric("MI", mutual_information, True, True, "nat", "cddfuse", "Qu 2002"),
    Metric("MI", partial(mutual_information, base=2), True, True, "bit", "tang", "Qu 2002"),
    Metric("CC", correlation, True, True, "", "all", "Deshmukh 2010"),
    Metric("SCD", sum_of_difference_correlations, True, True, "", "all", "Aslantas 2015"),
    Metric("PSNR", peak_signal_to_noise, True, True, "dB", "cddfuse", "Jagalingam 2015"),
    Metric("PSNR", partial(peak_signal_to_noise, peak=255**2), True, True, "dB", "tang", "Jagalingam 2015"),
    Metric("SSIM", structural_similarity, True, True, "", "cddfuse", "Wang 2004"),
    Metric("SSIM", gaussian_structural_similarity, True, True, "", "tang", "Wang 2004"),
    Metric("VIF", visual_information_fidelity, True, True, "", "all", "Sheikh 2006, Han 2013"),
    Metric("Qabf", edge_preservation, True, True, "", "all", "Xydeas 2000"),
    Metric("SSIM_legacy", partial(structural_similarity, value_range=2), True, True, "", "all", "Wang 2004"),
    Metric("MS-SSIM", multi_scale_structural_similarity, True, True, "", "all", "Wang 2003"),
    Metric("Nabf", fusion_artifacts, True, False, "", "cddfuse", "Petrovic 2005, Shreyamsha Kumar 2013"),
    Metric("Nabf", partial(fusion_artifacts, faint_weight=0), True, False, "", "tang", "as cddfuse"),
    Metric("FMI", feature_mutual_information, True, True, "", "all", "Haghighat 2011, 2014"),
    Metric(
        "FMI_pixel", partial(feature_mutual_information, feature="pixel"), True, True, "", "all", "as FMI"
    ),
    Metric("Qcb", chen_blum, True, True, "", "all", "Chen 2009"),
    Metric("Qcv", chen_varshney, True, False, "level^2", "all", "Chen 2007"),
)
DEFAULT = ("EN", "SD", "SF", "AG", "MI", "CC", "SCD", "PSNR", "SSIM", "VIF", "Qabf")


def find_metric(name: str, convention: str = "cddfuse") -> Metric:
    """Give the row of ``name`` in ``convention``; raises ``InputError`` with the known names for another."""
    if convention not in CONVENTIONS:
        raise InputError(f"unknown metric convention {convention!r}; choose one of {', '.join(CONVENTIONS)}")
    for metric in METRICS:
        if metric.name == name and metric.convention in (convention, "all"):
            return metric
    names = dict.fromkeys(row.name for row in METRICS if row.convention in (convention, "all"))
    raise InputError(
        f"unknown metric {name!r} in convention {convention!r}; the metrics are {', '.join(names)}"
    )


def score(
    fused: ImageLike,
    first: ImageLike,
    second: ImageLike,
    metrics: Sequence[str] = DEFAULT,
    convention: str = "cddfuse",
    pair: str = "this pair",
) -> dict[str, float]:
    """Compute metrics of one fused image and its two sources.

    The images are (H, W) gray or (H, W, 3) RGB of one size, levels 0..255 (see ``to_gray8``); ``first`` is
    the infrared, CT, PET or SPECT image, ``second`` the visible or MRI one. Returns name -> value, in the
    order of ``metrics``. A metric that is undefined on these images (a constant source, F equal to a source,
    fewer pixels than one window) is NaN, and one warning names ``pair`` and all such metrics.
    """
    chosen = [find_metric(name, convention) for name in metrics]
    f, a, b = as_triple(fused, first, second)
    scores = {m.name: m.function(f, a, b) if m.uses_sources else m.function(f) for m in chosen}
    undefined = [name for name, value in scores.items() if not math.isfinite(value)]
    if undefined:
        size = f"{f.shape[0]}x{f.shape[1]}"
        warnings.warn(f"{pair} ({size}): {', '.join(undefined)} undefined, given as NaN", stacklevel=2)
    return {name: math.nan if name in undefined else value for name, value in scores.items()}


def mean_scores(scores: Iterable[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, int]]:
    """Average the scores of many pairs.

    Returns (means, counts): for every metric the mean over the pairs where it is a number, NaN where there is
    none, and over how many pairs that mean was taken.
    """
    values: dict[str, list[float]] = {}
    for row in scores:
        for name, value in row.items():
            values.setdefault(name, []).extend([] if math.isnan(value) else [value])
    means = {name: math.fsum(found) / len(found) if found else math.nan for name, found in values.items()}
    return means, {name: len(found) for name, found in values.items()}
