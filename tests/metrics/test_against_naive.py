"""Every metric against the formula written down plainly, on arrays small enough for loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d

from bench_metrics import rendered_triple
from fsidfusion.metrics import DEFAULT, score
from fsidfusion.metrics import gray as gray_module
from fsidfusion.metrics.structure import SCALE_WEIGHTS
from metrics_naive import NAIVE

RENDERED = rendered_triple(64, 96)


def shifted_noise(height: int, width: int, seed: int):
    """Three related images, the fused one from both sources."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (height, width))
    first = np.clip(base + rng.integers(-40, 41, base.shape), 0, 255)
    second = np.clip(255 - base // 2 + rng.integers(-40, 41, base.shape), 0, 255)
    fused = np.rint(0.6 * first + 0.4 * second)
    return tuple(image.astype(np.uint8) for image in (fused, first, second))


@given(
    height=st.integers(41, 70),
    width=st.integers(41, 70),
    seed=st.integers(0, 10_000),
)
def test_the_eleven_on_random_images(height, width, seed):
    triple = shifted_noise(height, width, seed)
    fields = [image.astype(float) for image in triple]
    expected = {name: NAIVE[name](*fields) for name in DEFAULT}
    assert score(*triple) == pytest.approx(expected, rel=1e-9)


def test_strips_do_not_change_a_value(monkeypatch):
    names = (*DEFAULT, "SSIM_legacy", "Nabf", "FMI")
    whole = score(*RENDERED, metrics=names) | {"tang": score(*RENDERED, ["SSIM"], "tang")["SSIM"]}
    monkeypatch.setattr(gray_module, "STRIP_PIXELS", 500)
    cut = score(*RENDERED, metrics=names) | {"tang": score(*RENDERED, ["SSIM"], "tang")["SSIM"]}
    assert cut == pytest.approx(whole, rel=1e-12)
    fields = [image.astype(float) for image in RENDERED]
    assert cut["VIF"] == pytest.approx(NAIVE["VIF"](*fields), rel=1e-9)


def gaussian_ssim_terms(x, y):
    at = np.arange(11) - 5
    bell = np.exp(-(at**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2
    mean = {name: convolve2d(field, window, "valid") for name, field in {"x": x, "y": y}.items()}
    c1, c2 = 2.55**2, 7.65**2
    variance_x = convolve2d(x * x, window, "valid") - mean["x"] ** 2
    variance_y = convolve2d(y * y, window, "valid") - mean["y"] ** 2
    covariance = convolve2d(x * y, window, "valid") - mean["x"] * mean["y"]
    contrast = (2 * covariance + c2) / (variance_x + variance_y + c2)
    luminance = (2 * mean["x"] * mean["y"] + c1) / (mean["x"] ** 2 + mean["y"] ** 2 + c1)
    return (contrast * luminance).mean(), contrast.mean()


def test_gaussian_ssim():
    f, a, b = (image.astype(float) for image in RENDERED)
    expected = gaussian_ssim_terms(a, f)[0] + gaussian_ssim_terms(b, f)[0]
    assert score(*RENDERED, ["SSIM"], "tang")["SSIM"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("size", [(161, 163), (176, 192)])
def test_multi_scale_ssim(size):
    triple = rendered_triple(*size)

    def halve(x):
        height, width = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
        return np.array(
            [
                [
                    np.mean(
                        [
                            x[min(2 * i + u, len(x) - 1), min(2 * j + v, len(x[0]) - 1)]
                            for u in (0, 1)
                            for v in (0, 1)
                        ]
                    )
                    for j in range(width)
                ]
                for i in range(height)
            ]
        )

    def one(x, y):
        value = 1.0
        for scale, weight in enumerate(SCALE_WEIGHTS):
            value *= max(gaussian_ssim_terms(x, y)[0 if scale == 4 else 1], 0) ** weight
            x, y = halve(x), halve(y)
        return value

    f, a, b = (image.astype(float) for image in triple)
    expected = one(a, f) + one(b, f)
    assert score(*triple, ["MS-SSIM"])["MS-SSIM"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("convention", "faint"), [("cddfuse", 0.001), ("tang", 0.0)])
def test_artefacts(convention, faint):
    def sobel(image):
        x = np.pad(image.astype(float), 1, mode="reflect")
        across = convolve2d(x, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8, "valid")
        down = convolve2d(x, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8, "valid")
        return np.hypot(across, down), np.arctan2(down, across)

    _, first, second = shifted_noise(30, 33, 1)
    fused = np.random.default_rng(2).integers(0, 256, first.shape, dtype=np.uint8)
    fields = [sobel(image) for image in (fused, first, second)]
    (g_f, angle_f), sources = fields[0], fields[1:]
    made_up = total = 0.0
    for i in np.ndindex(g_f.shape):
        for g, angle in sources:
            ratio = min(g[i], g_f[i]) / max(g[i], g_f[i], 1e-9)
            turn = abs(np.cos(angle[i] - angle_f[i]))  # angles of lines, not of arrows
            turn = 1 - np.arccos(min(turn, 1)) / (np.pi / 2)
            q = np.sqrt(
                0.9999 / (1 + np.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + np.exp(-22 * (turn - 0.5)))
            )
            weight = g[i] ** 1.5 if g[i] >= 2 else faint
            total += weight
            if g_f[i] > sources[0][0][i] and g_f[i] > sources[1][0][i]:
                made_up += (1 - q) * weight
    found = score(fused, first, second, ["Nabf"], convention)["Nabf"]
    assert found == pytest.approx(made_up / total, rel=1e-6)
    assert 0 < found < 1


@pytest.mark.parametrize("feature", ["FMI", "FMI_pixel"])
def test_feature_information(feature):
    rng = np.random.default_rng(5)
    first = rng.integers(0, 4, (14, 16)) * 60
    second = rng.integers(0, 256, first.shape)
    fused = np.where(rng.random(first.shape) < 0.4, first, (first + second) // 2)
    fused[:5, :5], second[5:10, 5:10] = 7, 9  # constant windows
    images = [image.astype(np.uint8) for image in (fused, first, second)]

    def bits(p):
        p = np.abs(p[p != 0]), p[p != 0]
        return float(-(p[1] * np.log2(p[0])).sum())

    def share(x, y):
        if np.array_equal(x, y):
            return 1.0
        p, q = (
            (w - w.min()) / (w.max() - w.min()) if w.max() > w.min() else np.ones(9)
            for w in (x.ravel(order="F"), y.ravel(order="F"))
        )
        p, q = p / p.sum(), q / q.sum()
        constant = p.max() == p.min() or q.max() == q.min()
        r = 0.0 if constant else float(np.corrcoef(p, q)[0, 1])
        place = np.arange(1, 10)
        spread = [np.sqrt(max((place**2 * w).sum() - (place * w).sum() ** 2, 0)) for w in (p, q)]
        cdf = np.zeros((10, 10))
        for i in range(1, 10):
            for j in range(1, 10):
                u, v = p[:i].sum(), q[:j].sum()
                cdf[i, j] = min(u, v) if r >= 0 else max(u + v - 1, 0)
        covariance = sum(cdf[i, j] - p[:i].sum() * q[:j].sum() for i in range(1, 10) for j in range(1, 10))
        mix = 0.0 if r == 0 or min(spread) < 1e-12 else r * spread[0] * spread[1] / covariance
        joint = mix * np.diff(np.diff(cdf, axis=0), axis=1) + (1 - mix) * np.outer(p, q)
        entropies = bits(p) + bits(q)
        return 0.0 if entropies == 0 else 2 * (entropies - bits(joint)) / entropies

    f, a, b = (
        np.gradient(image.astype(float), axis=1) if feature == "FMI" else image.astype(float)
        for image in images
    )
    windows = [
        (slice(i, i + 3), slice(j, j + 3)) for i in range(f.shape[0] - 2) for j in range(f.shape[1] - 2)
    ]
    expected = np.mean([share(f[w], s[w]) for w in windows for s in (a, b)])
    assert score(*images, [feature])[feature] == pytest.approx(expected, rel=1e-9)


def full_spectrum_filter(field, response):
    height, width = field.shape
    v, u = np.meshgrid(np.fft.fftfreq(height) * height, np.fft.fftfreq(width) * width, indexing="ij")
    return np.fft.ifft2(np.fft.fft2(field) * response(np.sqrt(u * u + v * v))).real


def stretched(image):
    low, high = int(image.min()), int(image.max())
    return np.floor((image.astype(float) - low) / (high - low) * 255 + 0.5)


@pytest.mark.parametrize("size", [(40, 52), (41, 53)])
def test_chen_blum(size):
    images = rendered_triple(*size)

    def masked(image):
        seen = full_spectrum_filter(
            stretched(image),
            lambda r: np.exp(-((r / 15 / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 15 / 1.3456) ** 2)),
        )
        x = np.arange(-15, 16)
        square = x[:, None] ** 2 + x**2
        fine, coarse = (
            convolve2d(seen, np.exp(-square / (2 * s * s)) / (2 * np.pi * s * s), "same") for s in (2, 4)
        )
        c = np.abs(fine / coarse - 1)
        return c**3 / (c**2 + 0.0001)

    f, a, b = map(masked, images)
    weight_a, weight_b = a**2 / (a**2 + b**2), b**2 / (a**2 + b**2)
    kept_a, kept_b = (np.minimum(s, f) / np.maximum(s, f) for s in (a, b))
    expected = (weight_a * kept_a + weight_b * kept_b).mean()
    assert score(*images, ["Qcb"])["Qcb"] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("size", [(32, 48), (41, 53)])
def test_chen_varshney(size):
    images = rendered_triple(*size)
    f, a, b = map(stretched, images)
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    error = weight = 0.0
    for source in (a, b):
        strength = np.hypot(convolve2d(source, across, "same"), convolve2d(source, across.T, "same"))
        seen = full_spectrum_filter(
            source - f, lambda r: 2.6 * (0.0192 + 0.144 * r / 4) * np.exp(-((0.144 * r / 4) ** 1.1))
        )
        for i in range(0, size[0], 16):
            for j in range(0, size[1], 16):
                salience = (strength[i : i + 16, j : j + 16] ** 5).sum()
                error += salience * (seen[i : i + 16, j : j + 16] ** 2).sum() / 256
                weight += salience
    assert score(*images, ["Qcv"])["Qcv"] == pytest.approx(error / weight, rel=1e-9)


def test_the_other_convention():
    cddfuse, tang = score(*RENDERED), score(*RENDERED, convention="tang")
    height, width = RENDERED[0].shape
    assert tang["MI"] == pytest.approx(cddfuse["MI"] / np.log(2))
    assert tang["AG"] == pytest.approx(cddfuse["AG"] * height * width / ((height - 1) * (width - 1)))
    peak = int(RENDERED[0].max())
    assert tang["PSNR"] == pytest.approx(cddfuse["PSNR"] + 20 * np.log10(255 * 255 / peak))
    same = set(DEFAULT) - {"MI", "AG", "PSNR", "SSIM"}
    assert {name: tang[name] for name in same} == {name: cddfuse[name] for name in same}
