import json

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.errors import InputError, ModelError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.downstream.detection.onnx_detector import COCO, OnnxDetector, map_classes

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper = onnx.helper

SIDE = 64
PLUS = [(x, y, s) for s in (8, 16, 32, 64) for y in range(SIDE // s) for x in range(SIDE // s)]
CELLS = PLUS[:-1]


def write_detector(path, table, channels=3):
    """A network that finds the same boxes in every picture."""
    shape = (1, channels, SIDE, SIDE)
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, (1, *table.shape))
    constant = onnx.numpy_helper.from_array(table[None].astype(np.float32), "table")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["table", "zero"], ["output"]),
    ]
    nothing = onnx.numpy_helper.from_array(np.float32(0), "nothing")
    graph = helper.make_graph(nodes, "detector", [given], [result], [constant, nothing])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def yolox(decoded, box=(20.0, 24.0, 16.0, 32.0), place=10, number=0):
    """One box of class ``number`` in a table of nothing: x, y, w, h."""
    table = np.zeros((len(CELLS), 85), np.float32)
    table[:, :4] = (SIDE / 2, SIDE / 2, 1, 1) if decoded else (0, 0, 0, 0)
    x, y, stride = CELLS[place]
    coded = (box[0] / stride - x, box[1] / stride - y, *np.log(np.array(box[2:]) / stride))
    table[place, :4] = box if decoded else coded
    table[place, 4] = table[place, 5 + number] = 0.9
    return table


def nanodet(cells, place=10, distance=2, number=0):
    table = np.zeros((len(cells), 80 + 4 * 8), np.float32)
    table[:, 80:].reshape(len(cells), 4, 8)[..., distance] = 50
    table[place, number] = 0.8
    return table


@pytest.mark.parametrize("decoded", [True, False])
def test_yolox_tables_are_understood_decoded_or_not(tmp_path, decoded):
    detector = OnnxDetector(write_detector(tmp_path / "d.onnx", yolox(decoded)))
    assert (detector.form, len(detector.classes)) == ("yolox", 80)
    found = detector._look(np.zeros((SIDE, SIDE, 3), np.uint8), 0)
    np.testing.assert_allclose(found.corners, [(12, 8, 28, 40)], atol=1e-3)
    assert found.scores[0] == pytest.approx(0.81, abs=1e-4)
    assert COCO[found.classes[0]] == "person"


def test_yolov5_and_yolov8_are_decoded_already(tmp_path):
    box, place = (20.0, 24.0, 16.0, 32.0), 10
    five = np.zeros((3 * len(CELLS), 85), np.float32)
    five[place, :6] = (*box, 0.9, 0.9)
    eight = np.zeros((84, len(CELLS)), np.float32)
    eight[:5, place] = (*box, 0.81)
    for name, table in (("yolov5", five), ("yolov8", eight)):
        detector = OnnxDetector(write_detector(tmp_path / f"{name}.onnx", table))
        assert detector.form == name
        found = detector._look(np.zeros((SIDE, SIDE, 3), np.uint8), 0)
        np.testing.assert_allclose(found.corners, [(12, 8, 28, 40)], atol=1e-3)
        assert found.scores[0] == pytest.approx(0.81, abs=1e-4)
        assert found.classes.tolist() == [0]


@pytest.mark.parametrize("form, red", [("yolox", (0, 0, 255)), ("yolov5", (1, 0, 0)), ("yolov8", (1, 0, 0))])
def test_every_form_is_shown_pictures_as_it_learnt_them(tmp_path, form, red):
    tables = {
        "yolox": yolox(True),
        "yolov5": np.zeros((3 * len(CELLS), 85), np.float32),
        "yolov8": np.zeros((84, len(CELLS)), np.float32),
    }
    detector = OnnxDetector(write_detector(tmp_path / "d.onnx", tables[form]))
    shown = {}
    session = detector._session

    class Recorder:
        def run(self, outputs, given):
            shown.update(given)
            return session.run(outputs, given)

    detector._session = Recorder()
    detector._look(np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8), 0)
    np.testing.assert_allclose(shown["images"][0].mean((1, 2)), red)


@pytest.mark.parametrize("cells, inside", [(CELLS, 0.5), (PLUS, 0.0)], ids=["NanoDet", "NanoDet-Plus"])
def test_nanodet_tables_are_distances_from_the_cells(tmp_path, cells, inside):
    table = nanodet(cells, place=10, distance=2)
    detector = OnnxDetector(write_detector(tmp_path / "d.onnx", table))
    assert detector.form == "nanodet"
    found = detector._look(np.zeros((SIDE, SIDE, 3), np.uint8), 0)
    x, y, stride = cells[10]
    centre = (np.array((x, y, x, y)) + inside) * stride
    expected = np.clip(centre + 2 * stride * np.array((-1, -1, 1, 1)), 0, SIDE)
    np.testing.assert_allclose(found.corners, [expected], atol=1e-3)


def test_only_wanted_classes_are_found(tmp_path):
    detector = OnnxDetector(write_detector(tmp_path / "d.onnx", yolox(True, number=2)))
    picture = np.zeros((SIDE, SIDE), np.uint8)
    assert set(detector.find(picture).classes) == set(detector.find(picture, ("car", "tram")).classes) == {2}
    assert not len(detector.find(picture, ("person",)))


def test_a_picture_is_looked_at_whole_and_in_halves(tmp_path):
    detector = OnnxDetector(write_detector(tmp_path / "d.onnx", yolox(True)))
    found = detector.find(np.zeros((SIDE, 2 * SIDE), np.uint8))
    boxes = {tuple(np.round(box)) for box in found.corners.tolist()}
    assert boxes == {(24, 16, 56, 64), (12, 8, 28, 40), (76, 8, 92, 40)}


def test_classes_are_matched_by_name():
    found = Boxes(np.zeros((3, 4), np.float32), np.array([2, 0, 5]), np.ones(3, np.float32))
    mapped = map_classes(found, COCO, ("car", "person"))
    assert mapped.classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path.write_bytes(b"not a network"), "no ONNX file"),
        (lambda path: write_detector(path, np.zeros((len(CELLS), 7))), "7 columns a box"),
        (lambda path: write_detector(path, np.zeros((9, 85))), "9 boxes, which fit no grid"),
        (lambda path: write_detector(path, yolox(True), channels=1), "three channels"),
    ],
)
def test_other_files_are_one_line(tmp_path, make, words):
    make(tmp_path / "d.onnx")
    with pytest.raises(ModelError, match=words):
        OnnxDetector(tmp_path / "d.onnx")
    with pytest.raises(InputError, match="no file"):
        OnnxDetector(tmp_path / "absent.onnx")


def test_the_command_scores_what_it_finds(tmp_path, capsys):
    for split in ("train", "test"):
        for name in ("1D", "2N"):
            image = np.full((SIDE, SIDE, 3), 90, np.uint8)
            write_picture(tmp_path / split / "ir" / f"{name}{split}.png", Picture(image[..., 0]))
            write_picture(tmp_path / split / "vi" / f"{name}{split}.png", Picture(image))
            labels = tmp_path / split / "labels"
            labels.mkdir(exist_ok=True)
            (labels / f"{name}{split}.txt").write_text(f"0 {20 / SIDE} {24 / SIDE} 0.25 0.5\n")
            (labels / "classes.txt").write_text("person\ncar\n")
    detector = write_detector(tmp_path / "d.onnx", yolox(True))
    options = ("--data", str(tmp_path), "--detector", str(detector), "-o", str(tmp_path / "out"))
    for more in (("--input", "maximum+heat"), ("--pictures", str(tmp_path / "test" / "vi"))):
        assert main(["detect", "evaluate", *options, *more]) == 0
        scores = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
        assert scores["all/person/mAP50"] > 0.45  # found whole; the halves are further boxes
    assert main(["detect", "evaluate", *options, "--detector-classes", "cat", "dog"]) == 2
    assert "columns" in capsys.readouterr().err
