import cv2
import numpy as np
import pytest

from fsidfusion.alignment.calibration import Camera, align_cameras, field_of_view, read_camera
from fsidfusion.alignment.sampling import pixel_grid
from fsidfusion.alignment.transform import read_alignment
from fsidfusion.cli import main
from fsidfusion.errors import InputError

VISIBLE = Camera(
    (480, 640),
    np.array([[600.0, 0, 322], [0, 605, 238], [0, 0, 1]]),
    np.array([-0.2, 0.05, 0.001, -0.001]),
    False,
)
INFRARED = Camera(
    (240, 320), np.array([[420.0, 0, 158], [0, 418, 122], [0, 0, 1]]), np.array([-0.3, 0.1, 0.0, 0.0]), False
)
TURN = cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))[0]
APART = np.array([0.06, -0.01, 0.005])


def seen(camera, points, turn=None, apart=None):
    """Where OpenCV says that points of the world (N, 3) lie in a camera."""
    vector = np.zeros(3) if turn is None else cv2.Rodrigues(turn)[0]
    project = cv2.fisheye.projectPoints if camera.fisheye else cv2.projectPoints
    apart = np.zeros(3) if apart is None else apart
    return project(points.reshape(-1, 1, 3), vector, apart, camera.matrix, camera.distortion)[0].reshape(
        -1, 2
    )


def world(depth):
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 9), np.linspace(-0.22, 0.22, 7))
    return np.column_stack((x.ravel(), y.ravel(), np.ones(x.size))) * depth


@pytest.mark.parametrize("fisheye", [False, True])
@pytest.mark.parametrize("distance", [None, 4.0])
def test_points_of_the_world_meet(fisheye, distance):
    infrared = Camera(
        INFRARED.size, INFRARED.matrix, np.array([0.05, -0.01, 0.0, 0.0]) if fisheye else INFRARED.distortion,
        fisheye, TURN, APART,
    )  # fmt: skip
    points = world(distance or 1e6)
    alignment = align_cameras(infrared, VISIBLE, distance)
    placed = alignment.place(seen(VISIBLE, points).astype(np.float32))
    truth = seen(infrared, points, TURN, APART)
    inside = ((truth > 0) & (truth < (319, 239))).all(1)
    assert inside.sum() > 30
    assert np.linalg.norm(placed - truth, axis=1)[inside].max() < 0.3


def test_nothing_of_the_outside_is_folded_into_the_picture():
    far = align_cameras(INFRARED, VISIBLE).place(pixel_grid((480, 640)))
    assert (np.diff(far[240, :, 0]) > 0).all()
    assert (np.diff(far[:, 320, 1]) > 0).all()


ROS = """
image_width: 320
image_height: 240
camera_name: thermal
camera_matrix: {rows: 3, cols: 3, data: [420.0, 0, 158, 0, 418, 122, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0, 0, 0]}
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 600., 0., 322., 0., 605., 238., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 4
   dt: d
   data: [ -2.0e-01, 5.0e-02, 1.0e-03, -1.0e-03 ]
"""
KALIBR = """
cam0: {intrinsics: [600, 605, 322, 238], resolution: [640, 480], distortion_model: radtan,
       distortion_coeffs: [-0.2, 0.05, 0.001, -0.001]}
cam1: {intrinsics: [420, 418, 158, 122], resolution: [320, 240], distortion_model: equidistant,
       distortion_coeffs: [0.1, 0, 0, 0],
       T_cn_cnm1: [[1, 0, 0, 0.06], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
"""


def test_files_of_ros_opencv_and_kalibr(tmp_path):
    for name, text in (("ros", ROS), ("opencv", OPENCV), ("kalibr", KALIBR)):
        (tmp_path / f"{name}.yaml").write_text(text)
    ros, opencv, kalibr = (read_camera(tmp_path / f"{name}.yaml") for name in ("ros", "opencv", "kalibr"))
    for found, wanted in ((ros, INFRARED), (opencv, VISIBLE)):
        assert found.size == wanted.size
        np.testing.assert_allclose(found.matrix, wanted.matrix)
        np.testing.assert_allclose(found.distortion[:4], wanted.distortion)
    assert kalibr.fisheye
    np.testing.assert_allclose(kalibr.translation, (0.06, 0, 0))
    assert 40 < field_of_view(ros) < 46


def test_the_command_writes_an_alignment(tmp_path, capsys):
    (tmp_path / "ir.yaml").write_text(ROS)
    (tmp_path / "vis.yaml").write_text(OPENCV)
    output = tmp_path / "a.json"
    call = ["align", "--calibration", f"{tmp_path}/ir.yaml", f"{tmp_path}/vis.yaml", "-o", str(output)]
    assert main(call) == 0
    assert "by calibration" in capsys.readouterr().out
    points = world(1e6)
    placed = read_alignment(output).place(seen(VISIBLE, points).astype(np.float32))
    truth = seen(INFRARED, points)
    inside = ((truth > 0) & (truth < (319, 239))).all(1)
    assert np.linalg.norm(placed - truth, axis=1)[inside].max() < 0.3
    assert main([*call, "--ir", "x.png", "--overwrite"]) == 2
    assert "--calibration goes with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, words",
    [
        ("a: [", "no sound calibration"),
        (ROS.replace("0.1, 0, 0, 0]", "0.1, 0]"), "distortion has 3 numbers"),
        ("a: &a [1]\nb: [*a, *a]", "refers to another part"),
        (ROS.replace("data:", "data: {a: 1}\nrest:"), "no sound calibration"),
        ("just words", "holds no calibration"),
        ("image_width: 3\nimage_height: 4", "no camera matrix"),
        (ROS.replace("image_width: 320", ""), "no image_width"),
        (ROS.replace("plumb_bob", "magic"), "distortion model 'magic'"),
        (ROS.replace("420.0", "-1"), "focal lengths"),
        (ROS + "R: [1, 0, 0, 0, 2, 0, 0, 0, 1]", "no rotation"),
    ],
)
def test_unsound_files_are_told(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_camera(tmp_path / "a.yaml")


def test_cameras_that_look_apart_are_refused():
    away = Camera(
        INFRARED.size, INFRARED.matrix, INFRARED.distortion, False, cv2.Rodrigues(np.array([0, 2.0, 0]))[0]
    )
    with pytest.raises(InputError, match="nothing in common"):
        align_cameras(away, VISIBLE)
    with pytest.raises(InputError, match="above 0"):
        align_cameras(INFRARED, VISIBLE, -1.0)
