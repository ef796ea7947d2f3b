import base64
import gzip
import json
import re

import numpy as np

from fsidfusion.fusion.volumes.grid import Volume, display_affine, display_spacing, to_display
from fsidfusion.fusion.volumes.report import MAX_VOXELS, build_report
from fsidfusion.fusion.volumes.views import Shown, checkerboard, edge_overlay, orthogonal_views, to_bytes
from fsidfusion.fusion.volumes.windows import Level
from volume_files import head, oblique


def unit_head(**options):
    volume = head(**options)
    return volume.voxels / volume.voxels.max(), volume.affine


def content_of(page):
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    content = json.loads(found[1])
    for volume in content["volumes"]:
        packed = gzip.decompress(base64.b64decode(volume["voxels"]))
        shape = [*content["shape"][::-1], volume["channels"]]
        volume["voxels"] = np.frombuffer(packed, np.uint8).reshape(shape)  # z, y, x
    return content


def test_a_voxel_is_as_large_as_its_millimetres():
    """A cube of millimetres is a square in all three planes, however the voxels are cut."""
    voxels = np.zeros((40, 20, 10), np.float32)
    voxels[10:30, 5:15, 2:7] = 1  # 20 x 20 x 20 mm
    affine = np.diag([1.0, 2, 4, 1])
    sheet = orthogonal_views([Shown("a", voxels)], affine, "notice").astype(int)
    white = (sheet.min(-1) > 200)[40:-30]
    columns = np.flatnonzero(white.sum(0) > 80)
    blocks = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    sides = [(len(block), white[:, block].any(1).sum()) for block in blocks]
    assert len(sides) == 3
    for wide, tall in sides:
        assert max(abs(wide - 150), abs(tall - 150)) < 16  # half of the 300 pixels of 40 mm


def test_front_and_left_are_where_they_belong():
    voxels = np.full((30, 30, 30), 0.1, np.float32)
    voxels[:8] = 1  # the patient's left in these axes, RAS
    sheet = orthogonal_views([Shown("a", voxels)], np.eye(4), "notice")
    axial = sheet[100:250, 40:340].mean((0, 2))
    assert axial[230:290].mean() > 200 > 60 > axial[20:200].mean()


def test_spacing_follows_the_turned_axes():
    affine = np.array([[0, 0, 3.0, 0], [2.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    assert display_spacing(affine) == (3.0, 2.0, 1.0)
    assert display_spacing(oblique()) == (1.0, 1.2, 2.5) or np.allclose(
        display_spacing(oblique()), (1.0, 1.2, 2.5)
    )


def test_the_report_holds_the_volumes_and_fetches_nothing():
    mri, affine = unit_head(affine=oblique())
    fused = np.random.default_rng(0).integers(0, 256, (*mri.shape, 3), np.uint8)
    page = build_report(
        [Shown("MRI", mri, Level(0, 50, "Gy")), Shown("fused", fused)],
        affine,
        {"MRI": "<b>"},
        ["a & b"],
        b"png",
        "coronal",
    )
    assert "not a medical device" in page
    assert "&lt;b&gt;" in page and "a &amp; b" in page
    assert "{{" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    content = content_of(page)
    assert np.allclose(content["spacing"], (1.0, 1.2, 2.5))
    assert content["volumes"][0]["level"] == {"low": 0, "high": 50, "unit": "Gy"}
    assert np.allclose(content["affine"], display_affine(Volume("", mri, affine))[:3])
    first, second = (volume["voxels"] for volume in content["volumes"])
    assert np.array_equal(first[..., 0], to_bytes(to_display(mri, affine)).transpose(2, 1, 0))
    assert np.array_equal(second, to_display(fused, affine).transpose(2, 1, 0, 3))


def test_large_volumes_are_shown_in_coarser_voxels(monkeypatch):
    import fsidfusion.fusion.volumes.report as report

    monkeypatch.setattr(report, "MAX_VOXELS", 2000)
    assert MAX_VOXELS > 2000
    voxels = np.zeros((25, 27, 21), np.uint8)
    voxels[::2] = 200
    page = build_report([Shown("MRI", voxels), Shown("fused", voxels)], np.eye(4), {}, [], b"", "axial")
    content = content_of(page)
    assert content["shape"] == [9, 9, 7]
    assert content["spacing"] == [3.0, 3.0, 3.0]
    assert "3 times as large" in page
    middle = content["volumes"][0]["voxels"][3, 3, :-1, 0]
    assert set(middle.tolist()) <= {66, 133}


def test_a_bar_tells_the_colours_of_a_level():
    voxels, affine = unit_head()
    plain = orthogonal_views([Shown("a", voxels)], affine, "n")
    sheet = orthogonal_views([Shown("a", voxels, Level(0, 8, "SUVbw"), "viridis")], affine, "n")
    assert sheet.shape == plain.shape
    column = sheet[:, sheet.shape[1] - 84]
    table = Shown("a", voxels, None, "viridis").table.astype(int)
    bar = [row for row in column.astype(int) if np.abs(table - row).sum(1).min() == 0]
    places = [int(np.abs(table - row).sum(1).argmin()) for row in bar]
    assert len(bar) > 150 and (np.diff(places) <= 0).all() and places[0] > 250 and places[-1] < 5
    assert (sheet[:, : sheet.shape[1] - 90] != plain[:, : sheet.shape[1] - 90]).any()  # planes are coloured


def test_pictures_that_check_a_registration():
    base, affine = unit_head()
    other = 1 - base
    board = checkerboard(base, other, affine).astype(int)
    assert board.shape[2] == 3
    ours = (board == checkerboard(base, base, affine)).all(-1)
    assert 0.3 < ours.mean() < 0.9
    shell = np.zeros_like(base)
    shell[6:18, 6:20, 5:15] = 1
    edges = (edge_overlay(base, shell, affine) == (255, 60, 60)).all(-1)
    assert 200 < edges.sum() < 0.1 * edges.size
