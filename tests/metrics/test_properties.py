"""What must hold for any image: bounds, symmetries, invariances, and a defined answer in degenerate cases."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench_metrics import TOTAL, measure, print_speed, rendered_triple
from fsidfusion.errors import FusionError
from fsidfusion.metrics import DEFAULT, METRICS, find_metric, mean_scores, score

ALL = tuple(dict.fromkeys(metric.name for metric in METRICS))
PLAIN = tuple(name for name in ALL if not name.startswith("FMI"))  # FMI is slow
RENDERED = rendered_triple(176, 180)
BOUNDS = {
    "EN": (0, 8),
    "SD": (0, 127.5),
    "SF": (0, 361),
    "AG": (0, 255),
    "MI": (0, 16 * math.log(2)),
    "CC": (-1, 1),
    "SCD": (-2, 2),
    "SSIM": (-2, 2),
    "SSIM_legacy": (-2, 2),
    "VIF": (0, math.inf),
    "Qabf": (0, 0.988),
    "Nabf": (0, 1),
    "MS-SSIM": (0, 2),
    "Qcb": (0, 1),
    "Qcv": (0, math.inf),
    "PSNR": (-math.inf, math.inf),
}


def images(count, low=1, high=28):
    """``count`` small uint8 images of one size, often with few levels and constant parts."""
    sides = st.tuples(st.integers(low, high), st.integers(low, high))
    levels = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 128, 254, 255]))
    return sides.flatmap(
        lambda side: st.tuples(*[arrays(np.uint8, side, elements=levels) for _ in range(count)])
    )


def quiet_score(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return score(*arguments, **options)


def agree(one, other, rel=1e-9):
    return one == pytest.approx(other, rel=rel, abs=1e-9, nan_ok=True)


@given(images(3))
def test_bounds(triple):
    for convention in ("cddfuse", "tang"):
        found = quiet_score(*triple, metrics=PLAIN, convention=convention)
        for name, value in found.items():
            low, high = BOUNDS[name]
            if convention == "tang" and name in ("AG", "MI"):
                high = math.inf
            assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9, (name, value)


@given(images(3, low=3, high=9))
def test_feature_information_is_a_number(triple):
    found = quiet_score(*triple, metrics=("FMI", "FMI_pixel"))
    assert all(math.isfinite(value) and value <= 1 + 1e-9 for value in found.values())


@given(images(3))
def test_the_sources_may_be_swapped(triple):
    f, a, b = triple
    names = (*PLAIN, "FMI") if f.size < 100 else PLAIN
    assert agree(quiet_score(f, a, b, metrics=names), quiet_score(f, b, a, metrics=names))


@given(images(3))
def test_flipping_all_images_changes_nothing_in_most_metrics(triple):
    # Not Qabf and Nabf (the angle pi/2 is told from -pi/2), nor Qcv and VIF (blocks and every second pixel).
    names = ("EN", "SD", "SF", "AG", "MI", "CC", "SCD", "PSNR", "SSIM", "SSIM_legacy")
    turned = [image[::-1, ::-1] for image in triple]
    assert agree(quiet_score(*triple, metrics=names), quiet_score(*turned, metrics=names))
    rotated = [image.T for image in triple]
    assert agree(quiet_score(*triple, metrics=names), quiet_score(*rotated, metrics=names))


@given(images(3), st.randoms(use_true_random=False))
def test_histogram_metrics_do_not_see_where_pixels_stand(triple, random):
    order = list(range(triple[0].size))
    random.shuffle(order)
    moved = [image.ravel()[order].reshape(image.shape) for image in triple]
    names = ("EN", "SD", "MI", "CC", "SCD", "PSNR")
    assert agree(quiet_score(*triple, metrics=names), quiet_score(*moved, metrics=names))


@given(images(1))
def test_entropy_of_known_histograms(one):
    (image,) = one
    assert quiet_score(np.full_like(image, 9), image, image, metrics=["EN"])["EN"] == 0
    dark = image // 2
    both = np.concatenate([dark, dark + 128])  # every level becomes two, equally often
    one_bit_more = quiet_score(both, both, both, metrics=["EN"])["EN"] - 1
    assert agree(quiet_score(dark, dark, dark, metrics=["EN"])["EN"], one_bit_more)


@given(images(2))
def test_information_of_a_copy_is_its_entropy(pair):
    a, b = pair
    copy = quiet_score(a, a, np.full_like(b, 7), metrics=["MI", "EN"])
    assert copy["MI"] == pytest.approx(copy["EN"] * math.log(2), abs=1e-12)
    assert quiet_score(a, a, b, metrics=["MI"])["MI"] >= copy["MI"] - 1e-12
    inverted = quiet_score(255 - a, a, b, metrics=["MI"])  # any one to one map keeps the information
    assert agree(inverted["MI"], quiet_score(a, a, b, metrics=["MI"])["MI"])


@given(images(3), st.integers(-40, 40))
def test_brightness_moves_no_contrast_metric(triple, offset):
    f, a, b = (np.clip(image, 45, 210) for image in triple)
    moved = (f.astype(int) + offset).astype(np.uint8)
    names = ("EN", "SD", "SF", "AG", "MI", "CC", "SCD")
    assert agree(quiet_score(f, a, b, metrics=names), quiet_score(moved, a, b, metrics=names))


@given(images(3))
def test_contrast_scales_the_contrast_metrics(triple):
    f, a, b = (image // 2 for image in triple)
    once = quiet_score(f, a, b, metrics=("SD", "SF", "AG", "CC", "MI"))
    twice = quiet_score(2 * f, a, b, metrics=("SD", "SF", "AG", "CC", "MI"))
    for name in ("SD", "SF", "AG"):
        assert twice[name] == pytest.approx(2 * once[name])
    assert agree({"CC": once["CC"], "MI": once["MI"]}, {"CC": twice["CC"], "MI": twice["MI"]})


def test_a_perfect_copy_is_the_best():
    image = RENDERED[1]
    found = quiet_score(image, image, image, metrics=ALL)
    best = {"CC": 1, "SSIM": 2, "SSIM_legacy": 2, "VIF": 2, "MS-SSIM": 2, "Nabf": 0, "FMI": 1, "Qcb": 1}
    assert {name: found[name] for name in best} == pytest.approx(best, abs=1e-6)
    assert found["Qcv"] == 0
    assert found["Qabf"] > 0.97
    assert math.isnan(found["PSNR"])
    assert math.isnan(found["SCD"])


def test_noise_lowers_every_fidelity_metric():
    f, a, b = RENDERED
    noise = np.random.default_rng(1).normal(0, 12, f.shape)
    noisy = np.clip(np.rint(f + noise), 0, 255).astype(np.uint8)
    clean, worse = score(f, a, b, metrics=ALL), score(noisy, a, b, metrics=ALL)
    for name in ("MI", "CC", "SCD", "PSNR", "SSIM", "MS-SSIM", "VIF", "Qabf", "FMI", "Qcb"):
        assert worse[name] < clean[name], name
    for name in ("Nabf", "Qcv"):
        assert worse[name] > clean[name], name
    for name in ("SF", "AG"):  # sharpness metrics take noise for detail
        assert worse[name] > clean[name], name


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (9, 1), (2, 2), (6, 30), (7, 7), (16, 40), (17, 17), (40, 41)]
)
def test_small_images_give_values_or_one_warning(size):
    rng = np.random.default_rng(4)
    triple = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = score(*triple, metrics=ALL, pair="tiny")
    undefined = [name for name, value in found.items() if math.isnan(value)]
    assert len(caught) == bool(undefined)
    assert math.isnan(found["SSIM"]) == (min(size) < 7)
    assert math.isnan(found["VIF"]) == (min(size) < 17)
    assert math.isnan(found["MS-SSIM"])
    message = str(caught[0].message)
    assert message.startswith(f"tiny ({size[0]}x{size[1]}): ")
    assert all(name in message for name in undefined)


def test_degenerate_images_give_values_or_one_warning():
    f, a, b = RENDERED
    flat = np.full_like(a, 77)
    black = np.zeros_like(a)
    cases = {
        "constant fused": (flat, a, b, {"CC"}),
        "black fused": (black, a, b, {"CC", "PSNR"}),
        "constant source": (f, flat, b, {"CC", "SCD", "VIF"}),
        "fused equals source": (a, a, b, {"SCD"}),
        "identical sources": (f, a, a, set()),
        "all constant": (flat, flat, flat, {"CC", "SCD", "PSNR", "VIF"}),
        "all black": (black, black, black, {"CC", "SCD", "PSNR", "VIF", "Qabf", "Qcv"}),
    }
    for pair, (*triple, expected) in cases.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = score(*triple, metrics=PLAIN, pair=pair)
        undefined = {name for name, value in found.items() if math.isnan(value)}
        assert undefined >= expected, pair
        assert undefined - expected <= {"Qcv"}, pair
        assert len(caught) == bool(undefined), pair
        assert not caught or str(caught[0].message).startswith(f"{pair} (176x180): "), pair


def test_the_order_asked_for_is_the_order_given():
    assert list(score(*RENDERED)) == list(DEFAULT)
    assert list(score(*RENDERED, metrics=["Qabf", "EN"])) == ["Qabf", "EN"]
    assert score(*RENDERED, metrics=[]) == {}


def test_unknown_names_are_told():
    with pytest.raises(FusionError, match=r"'VIFF'.*the metrics are EN, SD"):
        score(*RENDERED, metrics=["VIFF"])
    with pytest.raises(FusionError, match=r"'matlab'; choose one of cddfuse, tang"):
        score(*RENDERED, convention="matlab")


def test_every_metric_has_a_row_in_every_convention():
    for name in ALL:
        for convention in ("cddfuse", "tang"):
            row = find_metric(name, convention)
            assert row.name == name
            assert row.convention in (convention, "all")
            assert row.source
    rows = [(metric.name, metric.convention) for metric in METRICS]
    assert len(rows) == len(set(rows))
    assert {metric.name for metric in METRICS if not metric.higher_is_better} == {"Nabf", "Qcv"}


def test_means_skip_what_is_undefined():
    means, counts = mean_scores([{"EN": 1.0, "CC": math.nan}, {"EN": 2.0, "CC": 0.5}, {"EN": 6.0}])
    assert means == {"EN": 3.0, "CC": 0.5}
    assert counts == {"EN": 3, "CC": 1}
    means, counts = mean_scores([{"CC": math.nan}])
    assert math.isnan(means["CC"])
    assert counts == {"CC": 0}
    assert mean_scores([]) == ({}, {})


def test_the_speed_table_has_every_metric(capsys):
    rows = measure(161, 162, repeats=1)
    assert [row.metric for row in rows] == [*ALL, TOTAL]
    assert all(row.ms > 0 for row in rows)
    for row in rows:
        if row.metric in (*DEFAULT, TOTAL):
            assert row.ratio == pytest.approx(row.naive_ms / row.ms)
        else:
            assert row.naive_ms is None
    print_speed(rows)
    printed = capsys.readouterr().out
    assert all(row.metric in printed for row in rows)
