import pytest

from fsidfusion.cli.options import Inputs
from fsidfusion.images.camera_names import nearest, pair_shots, shot_of
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.sets import open_set


def touch(folder, names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def names_of(matches):
    return [(pair.infrared.name, pair.visible.name) for pair in matches.pairs]


def test_dji_stamps_may_differ_by_two_seconds(tmp_path):
    thermal = touch(
        tmp_path / "t",
        ["DJI_20250530123037_0001_T.JPG", "DJI_20250530123041_0002_T.JPG", "DJI_20250530124000_0003_T.JPG"],
    )
    visible = touch(
        tmp_path / "v",
        [
            "DJI_20250530123038_0001_W.JPG",
            "DJI_20250530123038_0001_Z.JPG",
            "DJI_20250530123041_0002_V.JPG",
            "DJI_20250530125000_0003_V.JPG",  # the same number, ten minutes later
        ],
    )
    matches = match_pairs([thermal], [visible])
    assert names_of(matches) == [
        ("DJI_20250530123037_0001_T.JPG", "DJI_20250530123038_0001_W.JPG"),
        ("DJI_20250530123041_0002_T.JPG", "DJI_20250530123041_0002_V.JPG"),
    ]
    assert [path.name for path in matches.alone] == ["DJI_20250530124000_0003_T.JPG"]
    assert matches.nearest[matches.alone[0]].parent == visible


@pytest.mark.parametrize(
    "thermal, visible",
    [("DJI_0007_R.JPG", "DJI_0007.JPG"), ("IR_0326.jpg", "DC_0327.jpg"), ("IRX_0012.jpg", "MAX_0012.JPG")],
)
def test_makers_pairs_in_two_folders_or_in_one(tmp_path, thermal, visible):
    apart = touch(tmp_path / "t", [thermal]), touch(tmp_path / "v", [visible])
    assert names_of(match_pairs([apart[0]], [apart[1]])) == [(thermal, visible)]
    together = touch(tmp_path / "both", [thermal, visible])
    matches = match_pairs([together], [together])
    assert names_of(matches) == [(thermal, visible)]
    assert matches.alone == ()
    assert [(pair.infrared.name, pair.visible.name) for pair in open_set(together).pairs] == [
        (thermal, visible)
    ]


def test_names_of_no_camera_are_left_to_their_stems(tmp_path):
    for stem in ("scene1", "DJI_20251332000000_0001_T", "DJI_0001_X", "NIR_0001"):
        assert shot_of(stem) is None
    assert pair_shots([tmp_path / "IR_0001.jpg"], [tmp_path / "MAX_0001.jpg"]) is None
    assert pair_shots([tmp_path / "a.jpg"], [tmp_path / "DC_0001.jpg"]) is None


def test_the_nearest_name_is_told(tmp_path):
    thermal = touch(tmp_path / "t", ["a.png", "night_004.png"])
    visible = touch(tmp_path / "v", ["a.png", "night_005.png"])
    matches = match_pairs([thermal], [visible])
    assert {path.name: other.name for path, other in matches.nearest.items()} == {
        "night_004.png": "night_005.png",
        "night_005.png": "night_004.png",
    }
    assert nearest(tmp_path / "x.png", [tmp_path / "quite_another.png"]) is None


def test_what_is_left_over_in_a_set_is_told(tmp_path):
    names = ["DJI_20250530123037_0001_T.JPG", "DJI_20250530123038_0001_W.JPG"]
    found = open_set(touch(tmp_path / "one", [*names, "DJI_20250530124000_0002_T.JPG"]))
    assert [pair.name for pair in found.pairs] == ["DJI_20250530123037_0001_T"]
    assert [path.name for path in found.alone] == ["DJI_20250530124000_0002_T.JPG"]
    (tmp_path / "two").mkdir()
    touch(tmp_path / "two" / "ir", ["a.png", "b.png"])
    touch(tmp_path / "two" / "vi", ["a.png"])
    matches, _ = Inputs(pairs=tmp_path / "two").match()
    assert [path.name for path in matches.alone] == ["b.png"]
