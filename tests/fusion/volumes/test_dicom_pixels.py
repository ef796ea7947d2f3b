"""Compressed DICOM: sizes that differ are refused, and a decoder that ends its program ends no other."""

import struct

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes import dicom_pixels
from fsidfusion.fusion.volumes.dicom_find import read_header
from fsidfusion.fusion.volumes.dicom_frames import frames_of, read_frames
from memory_peak import growth_below
from readers import compress_by_gdcm
from volume_files import head, write_dicom_series

JPEG, JPEG_LS, J2K = (f"1.2.840.10008.1.2.4.{number}" for number in (70, 80, 90))


@pytest.fixture
def packed(tmp_path):
    pytest.importorskip("gdcm")
    write_dicom_series(tmp_path / "series", head((32, 24, 1)))
    (plain,) = (tmp_path / "series").iterdir()

    def pack(syntax):
        compress_by_gdcm(plain, tmp_path / "packed.dcm", syntax)
        return tmp_path / "packed.dcm"

    return plain, pack


def read(path):
    return read_frames(frames_of(path, read_header(path)))[0][0]


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K])
def test_what_was_packed_without_loss_is_the_same(packed, syntax):
    plain, pack = packed
    assert np.array_equal(read(pack(syntax)), read(plain))


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K])
def test_a_stream_of_another_size_than_the_header_is_refused_before_it_is_decoded(packed, syntax):
    path = packed[1](syntax)
    content = bytearray(path.read_bytes())
    if syntax == J2K:
        for place in (8, 24):  # of the picture, and of its tiles
            struct.pack_into(">II", content, content.index(b"\xff\x4f\xff\x51") + place, 30_000, 30_000)
    else:
        place = content.index(b"\xff\xc3" if syntax == JPEG else b"\xff\xf7")
        struct.pack_into(">HH", content, place + 5, 30_000, 30_000)
    path.write_bytes(content)
    with growth_below(200 << 20), pytest.raises(InputError, match="its stream is of 30000x30000 pixels"):
        read(path)


def test_a_decoder_that_ends_its_program_is_one_line(packed, monkeypatch):
    ending = dicom_pixels.Child("child_calls:aborts_on")
    monkeypatch.setattr(dicom_pixels, "_decoder", ending)
    with pytest.raises(InputError, match="it ends the program that decodes it"):
        read(packed[1](J2K))
    ending.close()
