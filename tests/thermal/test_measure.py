import json

import cv2
import numpy as np
import pytest
import tifffile

from fsidfusion.cli import main
from fsidfusion.errors import FusionError
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.thermal.measure import (
    Measuring,
    degrees_at,
    draw_bar,
    draw_marks,
    measure,
    over_edges,
    table_row,
)
from fsidfusion.thermal.palettes import colour, palette
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.temperature import read_temperature
from radiometric_files import centikelvin, warm_scene

U8 = np.dtype(np.uint8)


def test_measures_and_their_places():
    celsius = warm_scene()
    celsius[5, 60], celsius[45, 2], celsius[0, 0] = 80, -10, np.nan
    found = measure(celsius)
    assert (found.hottest, found.hottest_at) == (80.0, (60, 5))
    assert (found.coldest, found.coldest_at) == (-10.0, (2, 45))
    assert found.spot == pytest.approx(celsius[23:26, 31:34].mean(), abs=1e-3)
    assert found.mean == pytest.approx(float(np.nanmean(celsius)), abs=1e-3)
    assert measure(np.full((4, 4), np.nan, np.float32)) is None
    assert table_row("a,b", found).startswith('"a,b",-10.00,80.00,')
    assert table_row("a", None) == "a,,,,,,,,"


def test_a_palette_under_visible_edges():
    level = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (64, 1))
    even = np.full((64, 96), 0.5, np.float32)
    drawn = over_edges(level, even, "ironbow", U8)
    wanted = colour(np.rint(level * 255).astype(np.uint8), "ironbow")
    assert np.abs(drawn.astype(int) - wanted).max() <= 2
    lined = even.copy()
    lined[30:32] = 0.9
    edges = over_edges(level, lined, "ironbow", U8).astype(int) - drawn
    assert edges[30:32, 20:70].mean() > 20
    assert np.abs(edges[:20]).max() <= 2
    weight = np.ones((64, 96), np.float32)
    weight[:, :40] = 0
    outside = over_edges(level, even, "ironbow", U8, weight)[:, :40]
    assert (np.ptp(outside, axis=2) == 0).all()
    framed = even.copy()
    framed[:12] = 0  # where an embedded visible view ends
    rim = over_edges(level, framed, "ironbow", U8).astype(int) - drawn
    assert np.abs(rim[14:20]).max() <= 2


def test_a_bar_says_what_its_colours_mean():
    celsius = warm_scene((96, 128))
    level = ((celsius - 10) / 40).astype(np.float32)
    assert degrees_at((0.25, 0.5), level, celsius) == pytest.approx((20, 30), abs=4)
    rgb = np.full((240, 320, 3), 40, np.uint8)
    drawn = draw_bar(rgb, "ironbow", 10, 30, 50)
    column = drawn[26:214, 320 - 2 * 8 + 3]
    np.testing.assert_allclose(column[0], palette("ironbow")[253], atol=9)
    np.testing.assert_allclose(column[-1], palette("ironbow")[2], atol=9)
    assert (drawn[:, :200] == 40).all()
    assert (rgb == 40).all()
    deep = draw_bar(np.full((240, 320, 3), 9999, np.uint16), "ironbow", 10, 30, 50)
    assert deep.dtype == np.uint16
    assert (deep[:, :200] == 9999).all()


def test_marks_stand_where_it_is_hottest():
    celsius = np.full((96, 128), 20, np.float32)
    celsius[20, 100] = 60
    drawn = draw_marks(np.full((96, 128, 3), 40, np.uint8), celsius, "max")
    assert tuple(drawn[20, 100]) == (255, 70, 50)
    assert (drawn[60:] == 40).all()
    assert draw_marks(np.zeros((96, 128), np.uint8), np.full((96, 128), np.nan), "max").ndim == 2


@pytest.fixture
def pair(tmp_path):
    celsius = cv2.resize(warm_scene(), (128, 96), interpolation=cv2.INTER_NEAREST)
    tifffile.imwrite(tmp_path / "ir.tif", centikelvin(celsius))
    visible = np.random.default_rng(0).integers(60, 90, (96, 128, 3)).astype(np.uint8)
    write_picture(tmp_path / "vis.png", Picture(visible))
    return tmp_path


def fuse(pair, *more):
    files = ["--ir", f"{pair}/ir.tif", "--vis", f"{pair}/vis.png", "-o", f"{pair}/f.png", "--overwrite"]
    return main(["fuse", *files, "--model", "maximum", "--bits", "8", *more])


def test_all_from_one_line(pair, capsys):
    options = ["--color", "thermal:ironbow", "--range-celsius", "10..40", "--bar", "--marks", "max,spot"]
    assert fuse(pair, *options, "--table", f"{pair}/t.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)["pairs"][0]["temperatures"]
    assert told["hottest"] == pytest.approx(37, abs=0.01)
    assert (pair / "t.csv").read_text().splitlines()[1].startswith("ir.tif,18.00,37.00,")
    fused = read_picture(pair / "f.png").pixels.astype(int)
    person = fused[60:75, 45:60].reshape(-1, 3).mean(0)
    wanted = palette("ironbow")[round((37 - 10) / 30 * 255)]
    np.testing.assert_allclose(person, wanted, atol=25)
    for wrong, words in (
        (["--bar"], "needs a palette"),
        (["--marks", "warmest"], "unknown; choose of max"),
        (["--color", "thermal:sunset"], "palette 'sunset' is unknown"),
        (["--range-celsius", "10..40", "--agc", "linear"], "leave --agc or --range-celsius out"),
    ):
        assert fuse(pair, *wrong) == 2
        assert words in capsys.readouterr().err
    tifffile.imwrite(pair / "ir.tif", (7000 + np.arange(96 * 128).reshape(96, 128) % 900).astype(np.uint16))
    assert fuse(pair, "--marks", "max") == 2
    assert "holds no temperatures" in capsys.readouterr().err


def test_plans_with_palettes():
    assert Plan(color="thermal:lava").thermal_palette == "lava"
    assert Plan(color="heat").thermal_palette is None
    with pytest.raises(FusionError, match="medical pairs"):
        Plan(task="medical", color="thermal:lava")
    with pytest.raises(FusionError, match="thermal:PALETTE"):
        Plan(color="warm")
    assert Measuring(marks="max,min").is_drawn
    assert Thermal(range_celsius="10..40").gain().celsius


def test_a_video_tells_its_temperatures(pair):
    pytest.importorskip("av")
    for index in range(3):
        tifffile.imwrite(pair / f"i_{index}.tif", centikelvin(warm_scene((96, 128)) + index))
        write_picture(pair / f"v_{index}.png", read_picture(pair / "vis.png"))
    from fsidfusion.fusion.sources import open_source

    call = ["video", "--ir", f"{pair}/i_*.tif", "--vis", f"{pair}/v_*.png", "--model", "maximum"]
    options = ["--color", "thermal:ironbow", "--bar", "--marks", "max", "--table", f"{pair}/t.csv"]
    assert main([*call, "-o", f"{pair}/f.mkv", *options]) == 0
    rows = (pair / "t.csv").read_text().splitlines()
    assert rows[0].startswith("seconds,coldest_C")
    assert [row.split(",")[2] for row in rows[1:]] == ["37.00", "38.00", "39.00"]
    assert main([*call, "-o", f"{pair}/small.mkv", *options[:2], "--max-width", "64"]) == 0
    assert next(open_source(f"{pair}/small.mkv").frames).pixels.shape[1] == 64


def test_smaller_files(pair):
    sizes = []
    for quality in (95, 60):
        files = ["--ir", f"{pair}/ir.tif", "--vis", f"{pair}/vis.png", "-o", f"{pair}/{quality}.jpg"]
        assert main(["fuse", *files, "--model", "maximum", "--quality", str(quality)]) == 0
        sizes.append((pair / f"{quality}.jpg").stat().st_size)
    assert sizes[1] < sizes[0] / 2
    with pytest.raises(FusionError, match="quality 0: expected 1 to 100"):
        Plan(quality=0)
    with pytest.raises(FusionError, match="crf 60"):
        Plan(crf=60)
    with pytest.raises(FusionError, match="`max_width` 3: expected 16 pixels or more"):
        Plan(max_width=3)


def test_narrower_files(pair):
    """The visible picture is scaled down, and what was measured lies on it as before."""
    files = ["--ir", f"{pair}/ir.tif", "--vis", f"{pair}/vis.png", "--model", "maximum"]
    assert main(["fuse", *files, "-o", f"{pair}/whole.png", "--temperature", f"{pair}/whole.tif"]) == 0
    narrow = ["-o", f"{pair}/narrow.png", "--temperature", f"{pair}/narrow.tif", "--max-width", "64"]
    assert main(["fuse", *files, *narrow]) == 0
    whole, small = (read_picture(pair / f"{name}.png").pixels for name in ("whole", "narrow"))
    assert small.shape[1] == 64
    assert small.shape[0] == round(whole.shape[0] * 64 / whole.shape[1])
    shrunk = cv2.resize(whole, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 6 * 257  # of 16 bits
    celsius = read_temperature(pair / "narrow.tif")
    assert celsius.shape == small.shape[:2]
    assert np.nanmax(celsius) == pytest.approx(np.nanmax(read_temperature(pair / "whole.tif")), abs=0.5)


def test_a_range_in_degrees_is_named_as_it_was_given(pair):
    with pytest.raises(FusionError, match=r"`range_celsius` 40\.\.10 is no range"):
        Thermal(range_celsius="40..10").gain()
    with pytest.raises(FusionError, match=r"holds no temperatures, but `range_celsius` 10\.\.40 asks"):
        read_thermal(pair / "ir.tif", Thermal(unit="counts", range_celsius="10..40"))


def test_a_page_of_a_folder_tells_its_temperatures(pair):
    for place in ("ir", "vis"):
        (pair / "set" / place).mkdir(parents=True)
    for index, name in enumerate(("a", "b <b>")):
        tifffile.imwrite(pair / f"set/ir/{name}.tif", centikelvin(warm_scene((96, 128)) + 2 * index))
        write_picture(pair / f"set/vis/{name}.png", read_picture(pair / "vis.png"))
    write_picture(pair / "set/ir/c.png", Picture(np.full((96, 128), 9, np.uint8)))
    write_picture(pair / "set/vis/c.png", read_picture(pair / "vis.png"))
    call = ["fuse", "--pairs", f"{pair}/set", "--model", "maximum", "-o", f"{pair}/out/"]
    assert main([*call, "--report", f"{pair}/page.html"]) == 0
    page = (pair / "page.html").read_text()
    rows = page.partition("<tbody>")[2].split("</tr>")[:3]
    assert "<td>37.0</td>" in rows[0]
    assert "<td>39.0</td>" in rows[1]
    assert "b &lt;b&gt;" in rows[1]
    assert "<b>" not in rows[2]
    assert "no temperatures" in rows[2]
    assert [row.count("data:image/webp") for row in rows] == [1, 1, 1]
    assert '<table class="sortable">' in page
    medical = ["fuse", "--mri", f"{pair}/vis.png", "--pet", f"{pair}/vis.png", "-o", f"{pair}/m.png"]
    assert main([*medical, "--report", f"{pair}/page2.html"]) == 2
