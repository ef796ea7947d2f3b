import json

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.downstream.detection.scores import FrameHits, frame_hits
from fsidfusion.studies.witness import average_precision

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("pycocotools", reason="pycocotools is not installed")
helper = onnx.helper

SIDE = 64
BOX = (24, 16, 40, 48)  # of the only person, in pixels
CELLS = [(x, y, s) for s in (8, 16, 32) for y in range(SIDE // s) for x in range(SIDE // s)]


def found(*rows):
    """Boxes of class 0 from x0, y0, x1, y1, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Boxes(table[:, :4], np.zeros(len(table), np.int64), table[:, 4])


def test_average_precision_is_that_of_coco():
    from fsidfusion.studies.downstream.detection.scores import _evaluate

    rng = np.random.default_rng(0)
    true, seen = [], []
    for _ in range(12):
        corners = rng.uniform(0, 200, (4, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 60, (4, 2))], 1)
        true.append(Boxes.true(boxes, np.zeros(4)))
        moved = np.concatenate([boxes + rng.normal(0, 4, boxes.shape), boxes[:2] + 90])
        seen.append(found(*np.column_stack([moved, rng.random(6)])))
    for least in (0, 30):
        expected = _evaluate(true, seen, 1, least).eval["precision"][0, :, 0, 0, -1].mean()
        frames = frame_hits(true, seen, 0, least)
        weights = np.stack([np.ones(12, int), np.eye(12, dtype=int)[3] * 2])
        whole, one = average_precision(frames, weights)
        assert whole == pytest.approx(expected)
        assert one == pytest.approx(average_precision(frames[3:4], np.array([[1]]))[0])
        assert 0 < whole < 1


def test_low_boxes_count_neither_way():
    true = [Boxes.true([(0, 0, 20, 40), (50, 0, 60, 12)], (0, 0))]
    seen = [found((0, 0, 20, 40, 0.5), (50, 0, 60, 12, 0.9), (90, 90, 99, 99, 0.8), (90, 0, 99, 60, 0.7))]
    (hits,) = frame_hits(true, seen, 0, 24)
    assert hits.scores.tolist() == pytest.approx([0.7, 0.5])
    assert (hits.hits.tolist(), hits.total) == ([False, True], 1)
    assert average_precision([hits], np.array([[1]]))[0] == pytest.approx(0.5)


def test_frames_without_people_are_no_scores():
    nothing = FrameHits(np.zeros(0), np.zeros(0, bool), 0)
    assert np.isnan(average_precision([nothing], np.array([[1]]))).all()


def write_bright_detector(path):
    """A network that finds one person, as surely as its box is bright against the whole picture."""
    table = np.zeros((len(CELLS), 85), np.float32)
    table[:, :4] = (SIDE / 2, SIDE / 2, 1, 1)
    table[0, :4] = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2, BOX[2] - BOX[0], BOX[3] - BOX[1])
    score = np.zeros((len(CELLS), 85), np.float32)
    score[0, 5] = 1 / 255
    table[0, 4] = 1
    constants = {
        "table": table[None],
        "score": score[None],
        "starts": np.array([BOX[1], BOX[0]]),
        "ends": np.array([BOX[3], BOX[2]]),
        "axes": np.array([2, 3]),
        "bright": np.float32(1.5),
    }
    nodes = [
        helper.make_node("Slice", ["images", "starts", "ends", "axes"], ["part"]),
        helper.make_node("ReduceMean", ["part"], ["inside"], keepdims=0),
        helper.make_node("ReduceMean", ["images"], ["whole"], keepdims=0),
        helper.make_node("Mul", ["whole", "bright"], ["less"]),
        helper.make_node("Sub", ["inside", "less"], ["more"]),
        helper.make_node("Mul", ["score", "more"], ["likely"]),
        helper.make_node("Add", ["table", "likely"], ["output"]),
    ]
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, (1, 3, SIDE, SIDE))
    result = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, (1, len(CELLS), 85))
    kept = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "detector", [given], [result], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.fixture
def scene(tmp_path):
    """Two frames by day and two by night with a person whom infrared alone shows, and a detector."""
    infrared = np.full((SIDE, SIDE), 20, np.uint8)
    infrared[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 240
    visible = np.full((SIDE, SIDE, 3), 60, np.uint8)
    visible[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 0
    for split in ("train", "test"):
        for name in ("1D", "2D", "3N", "4N"):
            write_picture(tmp_path / split / "ir" / f"{split}{name}.png", Picture(infrared))
            write_picture(tmp_path / split / "vi" / f"{split}{name}.png", Picture(visible))
            labels = tmp_path / split / "labels"
            labels.mkdir(exist_ok=True)
            (labels / f"{split}{name}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
            (labels / "classes.txt").write_text("person\n")
    return ["--data", str(tmp_path), "--detector", str(write_bright_detector(tmp_path / "d.onnx"))]


def test_a_detector_looks_at_every_picture_under_every_condition(scene, tmp_path, capsys):
    call = ["benchmark", "witness", *scene, "--model", "maximum", "--said", "Bright, made here"]
    assert not main([*call, "-o", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "Bright, made here, sha256 `" in said and "| maximum+heat |" in said
    record = json.loads((tmp_path / "out" / "witness.json").read_text())
    assert set(record) == {"clear", "haze", "smoke"}
    assert {group: rows["visible"]["people"] for group, rows in record["clear"].items()} == {
        "all": 4,
        "day": 2,
        "night": 2,
    }
    clear = record["clear"]["night"]
    assert (clear["infrared"]["average"], clear["visible"]["average"]) == (1, 0)
    assert (clear["maximum"]["average"], clear["maximum"]["lead"]) == (1, 0)
    assert (clear["visible"]["lead"], clear["visible"]["lead_interval"]) == (-1, [-1, -1])
    assert clear["visible, gray"] == clear["visible"]
    assert (tmp_path / "out" / "witness.md").read_text() + "\n" == said


def test_a_detector_of_other_things_is_one_line(scene, tmp_path, capsys):
    classes = [f"thing{number}" for number in range(80)]
    assert main(["benchmark", "witness", *scene, "--detector-classes", *classes]) == 2
    assert "must both name a class 'person'" in capsys.readouterr().err
