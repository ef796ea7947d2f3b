"""Contours of an RTSTRUCT as labels on the grid of a volume."""

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.files import read_labels
from fsidfusion.fusion.volumes.grid import Volume
from volume_files import FLIP, head, item, multi_frame, oblique


def write_structures(path, structures, affine):
    """Contours are given in voxels (N, 3) of an affine."""

    def contour(points):
        places = (FLIP @ affine @ np.c_[points, np.ones(len(points))].T)[:3].T
        return item(ContourGeometricType="CLOSED_PLANAR", ContourData=[f"{v:.4f}" for v in places.ravel()])

    image = multi_frame(head((2, 2, 2)), "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3")
    for name in ("Rows", "Columns", "PixelData", "NumberOfFrames"):
        delattr(image, name)
    image.ROIContourSequence = [
        item(ReferencedROINumber=n + 1, ContourSequence=[contour(np.array(points)) for points in contours])
        for n, contours in enumerate(structures)
    ]
    image.save_as(path, enforce_file_format=True)
    return path


def square(low, high, k):
    return [(low, low, k), (high, low, k), (high, high, k), (low, high, k)]


def test_squares_with_a_hole_between_slices(tmp_path):
    """Contours on every second slice of an oblique grid; the second structure has a hole."""
    grid = Volume("mr", np.zeros((24, 28, 20), np.float32), oblique())
    first = [square(2, 8, k) for k in (4, 6, 8)]
    second = [square(12, 22, 10), square(15, 19, 10)]
    labels = read_labels(write_structures(tmp_path / "s.dcm", [first, second], oblique()), grid).voxels
    expected = np.zeros(grid.shape, np.uint8)
    expected[2:9, 2:9, 3:10] = 1  # half a gap beyond the first and the last
    assert np.array_equal(labels == 1, expected == 1)
    ring = labels[:, :, 10] == 2
    assert ring[13, 13] and not ring[17, 17] and not ring[24 - 1, 5]
    assert not (labels[:, :, 11:] == 2).any()


def test_what_is_refused(tmp_path):
    grid = Volume("mr", np.zeros((24, 28, 20), np.float32), oblique())
    across = [[(2, 2, 4), (8, 2, 6), (8, 8, 9), (2, 8, 7)]]
    with pytest.raises(InputError, match="lie across the slices of the first volume"):
        read_labels(write_structures(tmp_path / "a.dcm", [across], oblique()), grid)
    with pytest.raises(InputError, match="holds 0 structures with contours"):
        read_labels(write_structures(tmp_path / "b.dcm", [[]], oblique()), grid)
