from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.studies.downstream.segmentation.classes import (
    IGNORED,
    MSRS,
    UNKNOWN,
    load_classes,
    parse_classes,
)
from fsidfusion.studies.downstream.segmentation.evaluation import read_predictions
from fsidfusion.studies.downstream.segmentation.masks import LabelledSet, condition, open_labelled, read_mask
from fsidfusion.studies.downstream.segmentation.pictures import label_sheet, legend, overlay, truth_rows

FMB = """
ignore: 0
classes:
  1: {name: road, colour: [179, 228, 228]}
  4: {name: lamp, colour: [10, 20, 30]}
"""


@pytest.fixture
def root(tmp_path):
    """Three pairs of 16x24 with masks of MSRS."""
    rng = np.random.default_rng(0)
    for name in ("1D", "2N", "3N"):
        for folder, top in (("ir", 256), ("vi", 256), ("Segmentation_labels", 9)):
            values = rng.integers(0, top, (16, 24), np.uint8)
            write_picture(tmp_path / "train" / folder / f"{name}.png", Picture(values))
    return tmp_path


def mask_file(root, name):
    return root / "train/Segmentation_labels" / f"{name}.png"


def test_masks_are_read_as_they_are(root):
    labelled = open_labelled(root, "train", MSRS)
    assert [pair.name for pair in labelled.pairs] == ["1D", "2N", "3N"]
    for pair, mask in zip(labelled.pairs, labelled.masks, strict=True):
        np.testing.assert_array_equal(mask, np.asarray(Image.open(pair.labels)))


def spoil_size(path):
    write_picture(path, Picture(np.zeros((16, 20), np.uint8)))


def spoil_value(path):
    values = np.zeros((16, 24), np.uint8)
    values[3, 5:7] = 17
    write_picture(path, Picture(values))


BAD = [
    (lambda path: path.unlink(), "2N.png has no mask", "1 missing"),
    (spoil_size, "2N.png is 20x16, its picture 24x16", "1 size"),
    (
        lambda path: spoil_size(path.parent.parent / "ir" / path.name),
        r"ir.2N.png is 20x16, .*vi.2N.png 24x16",
        "1 size",
    ),
    (spoil_value, r"2N.png holds the value 17 at row 3, column 5 \(2 pixels", "1 unknown value"),
    (lambda path: path.write_bytes(b"no picture"), r"2N\.png is no readable mask", "1 unreadable"),
    (
        lambda path: write_picture(path, Picture(np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3))),
        "2N.png holds colours",
        "1 unreadable",
    ),
]


@pytest.mark.parametrize(("spoil", "message", "count"), BAD)
def test_a_bad_mask_is_named_and_refused_or_skipped(root, spoil, message, count):
    spoil(mask_file(root, "2N"))
    with pytest.raises(FusionError, match=message) as raised:
        open_labelled(root, "train", MSRS)
    assert f"({count}) of 3 pairs" in str(raised.value)
    labelled = open_labelled(root, "train", MSRS, "skip")
    assert [pair.name for pair in labelled.pairs] == ["1D", "3N"]
    assert len(labelled.masks) == 2
    assert len(labelled.bad) == 1


def test_no_good_mask_is_an_error(root):
    for path in (root / "train/Segmentation_labels").iterdir():
        spoil_size(path)
    with pytest.raises(FusionError, match=r"no pair of .* has a usable mask"):
        open_labelled(root, "train", MSRS, "skip")
    with pytest.raises(FusionError, match="has no folder test"):
        open_labelled(root, "test", MSRS)


def test_palette_gray_rgb_and_bilevel_masks_give_values(tmp_path):
    values = np.array([[0, 1], [2, 3]], np.uint8)
    palette = Image.fromarray(values, "P")
    palette.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("palette", "rgb", "deep"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), values)
    Image.fromarray(values > 1).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(np.unique(read_mask(tmp_path / "bilevel.png")), [0, 255])


def test_class_file(tmp_path):
    path = tmp_path / "fmb.yaml"
    path.write_text(FMB)
    classes = load_classes(path)
    assert (classes.names, classes.values, classes.ignore) == (("road", "lamp"), (1, 4), (0,))
    values = np.array([[0, 1, 4, 2]], np.uint8)
    np.testing.assert_array_equal(classes.indices(values), [[IGNORED, 0, 1, UNKNOWN]])
    np.testing.assert_array_equal(classes.paint(classes.indices(values[:, :3]))[0, 2], (10, 20, 30))
    assert parse_classes(classes.record(), "") == classes
    assert load_classes() == MSRS == parse_classes(MSRS.record(), "")


def test_a_set_in_the_layout_of_fmb(tmp_path):
    (tmp_path / "fmb.yaml").write_text(FMB)
    for folder, levels in (("Infrared", 9), ("Visible", 9), ("Label", 1)):
        values = np.full((8, 8), levels, np.uint8)
        values[:4] *= 4  # the values 4 and 1 in the mask
        write_picture(tmp_path / "test" / folder / "00001.png", Picture(values))
    labelled = open_labelled(tmp_path, "test", load_classes(tmp_path / "fmb.yaml"))
    np.testing.assert_array_equal(labelled.masks[0][:, 0], [1] * 4 + [0] * 4)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=50))
def test_values_and_indices_are_inverse(values):
    mask = np.array([values], np.uint8)
    np.testing.assert_array_equal(MSRS.file_values(MSRS.indices(mask)), mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no mapping 'classes'"),
        ("classes: {1: {name: a, colour: [1, 2, 3]}}", "has 1 classes"),
        ("classes: {1: {name: a}, 2: b}", "class 1 is"),
        (FMB.replace("  4:", "  300:"), "mask value 300"),
        (FMB.replace("30]", "256]"), "colour of lamp 256"),
        (FMB.replace("ignore: 0", "ignore: [4]"), "the value 4 twice"),
        (FMB.replace("lamp", "road"), "the name road twice"),
        ("classes: [", "no sound class file"),
    ],
)
def test_wrong_class_files(tmp_path, text, message):
    path = tmp_path / "classes.yaml"
    path.write_text(text)
    with pytest.raises(FusionError, match=message):
        load_classes(path)


def test_split_holds_out_every_fifth():
    mask = np.zeros((2, 2), np.uint8)
    pairs = tuple(Pair(str(place), Path("i"), Path("v")) for place in range(11))
    rest, held = LabelledSet(pairs, (mask,) * 11).split()
    assert [pair.name for pair in held.pairs] == ["4", "9"]
    assert len(held.masks) == 2
    assert sorted((*rest.pairs, *held.pairs), key=lambda pair: int(pair.name)) == list(pairs)
    with pytest.raises(FusionError, match="2 pairs are too few"):
        held.split()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("00004N", "night"), ("x/00123D", "day"), ("100012DS", "smoke"), ("100014NS", "smoke"), ("FLIR_1", "")],
)
def test_condition(name, expected):
    assert condition(name) == expected


def test_predictions_of_another_segmenter(root, tmp_path):
    labelled = open_labelled(root, "train", MSRS)
    folder = tmp_path / "predicted"
    for pair, mask in zip(labelled.pairs, labelled.masks, strict=True):
        write_picture(folder / f"{pair.name}.png", Picture(mask))
    for mask, found in zip(labelled.masks, read_predictions(folder, labelled, MSRS), strict=True):
        np.testing.assert_array_equal(found, mask)
    write_picture(folder / "2N.png", Picture(np.full((16, 24), 255, np.uint8)))
    with pytest.raises(FusionError, match=r"2N.png predicts an ignored value"):
        read_predictions(folder, labelled, MSRS)
    (folder / "2N.png").unlink()
    with pytest.raises(FusionError, match=r"2N\.png does not exist"):
        read_predictions(folder, labelled, MSRS)


def test_overlay_leaves_background_and_colours_classes(root):
    picture = np.full((2, 2), 100, np.uint8)
    shown = overlay(picture, np.array([[0, 1], [2, IGNORED]], np.uint8), MSRS)
    np.testing.assert_array_equal(shown[0, 0], (100, 100, 100))
    np.testing.assert_array_equal(shown[0, 1], np.rint(0.4 * 100 + 0.6 * np.array(MSRS.colours[1])))
    np.testing.assert_array_equal(shown[1, 1], (193, 193, 193))
    labelled = open_labelled(root, "train", MSRS)
    rows = truth_rows(labelled, labelled.masks, MSRS, [0, 2])
    assert [[label for label, _ in row] for row in rows] == [
        ["1D", "infrared", "mask", "predicted"],
        ["3N", "infrared", "mask", "predicted"],
    ]
    sheet = label_sheet(rows, MSRS)
    below = legend(MSRS, sheet.shape[1])
    np.testing.assert_array_equal(sheet[-below.shape[0] :], below)
    for colour in MSRS.colours:
        assert (below == colour).all(2).any()
