"""Segments of a DICOM SEG as labels on the grid of their images."""

import numpy as np
import pytest
from pydicom import dcmread

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.files import read_labels
from fsidfusion.fusion.volumes.grid import Volume, nearest
from volume_files import item, oblique, write_enhanced

SHAPE = (16, 12, 8)
GRID = Volume("mr", np.zeros(SHAPE, np.float32), oblique())


def write_segments(path, segments, kind="BINARY", shift=0.0):
    """One frame for each slice of each segment (label, mask) that is not empty."""
    frames = [(label, k) for label, mask in segments for k in range(SHAPE[2]) if mask[:, :, k].any()]
    masks = dict(segments)
    stored = np.stack([masks[label][:, :, k] for label, k in frames], axis=2).astype(np.float32)
    write_enhanced(path, Volume("s", np.zeros(SHAPE, np.float32), oblique()))
    image = dcmread(path)
    image.Modality, image.SOPClassUID = "SEG", "1.2.840.10008.5.1.4.1.1.66.4"
    image.SegmentationType = kind
    groups = image.PerFrameFunctionalGroupsSequence
    image.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[
                item(ImagePositionPatient=groups[k].PlanePositionSequence[0].ImagePositionPatient)
            ],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=label)],
        )
        for label, k in frames
    ]
    if shift:
        last = image.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0]
        last.ImagePositionPatient = [float(v) + shift for v in last.ImagePositionPatient]
    image.NumberOfFrames = len(frames)
    pixels = np.ascontiguousarray(stored.transpose(2, 1, 0))
    if kind == "BINARY":
        image.BitsAllocated = image.BitsStored = 1
        image.HighBit = 0
        bits = np.packbits(pixels.astype(np.uint8).ravel(), bitorder="little").tobytes()
        image.PixelData = bits + bytes(len(bits) % 2)
    else:
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit, image.MaximumFractionalValue = 7, 200
        image.PixelData = pixels.astype(np.uint8).tobytes()
    image["PixelData"].VR = "OB"
    image.save_as(path)
    return path


def boxes():
    first, second = (np.zeros(SHAPE, np.uint8) for _ in range(2))
    first[2:9, 3:8, 1:4] = 1
    second[6:14, 2:6, 3:7] = 1
    return first, second


def test_binary_segments_where_their_frames_are(tmp_path):
    first, second = boxes()
    labels = read_labels(write_segments(tmp_path / "s.dcm", [(1, first), (4, second)]), GRID)
    expected = np.where(second > 0, 4, first)
    assert np.array_equal(nearest(labels, GRID), expected)
    assert labels.shape == (16, 12, 6)  # slices 1 to 6


def test_fractional_segments_and_label_maps(tmp_path):
    first, _ = boxes()
    part = first * 150
    part[3, 4] = 90 * first[3, 4]
    labels = read_labels(write_segments(tmp_path / "s.dcm", [(2, part)], "FRACTIONAL"), GRID)
    assert np.array_equal(nearest(labels, GRID), 2 * (part > 100))
    many = first * 3
    many[5] = 7 * first[5]
    labels = read_labels(write_segments(tmp_path / "l.dcm", [(1, many)], "LABELMAP"), GRID)
    assert np.array_equal(nearest(labels, GRID), many)


def test_what_is_no_segmentation(tmp_path):
    first, _ = boxes()
    with pytest.raises(InputError, match=r"segment of number 300, expected 1 to 255"):
        read_labels(write_segments(tmp_path / "s.dcm", [(300, first)]), GRID)
    with pytest.raises(InputError, match="are unequally spaced"):
        read_labels(write_segments(tmp_path / "u.dcm", [(1, first)], shift=1.3), GRID)
    path = write_segments(tmp_path / "d.dcm", [(1, first)])
    image = dcmread(path)
    del image.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    image.save_as(path)
    with pytest.raises(InputError, match=r"d.dcm is damaged"):
        read_labels(path, GRID)
