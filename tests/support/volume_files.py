"""Volumes with known content and geometry, as NIfTI files and DICOM series."""

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DS

from fsidfusion.fusion.volumes.grid import Volume

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def head(shape=(24, 28, 20), affine=None, low=0.0, high=1000.0, name="head"):
    """A smooth, lopsided blob in a frame: its brightest place is not in the middle of any axis."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    centre = np.array([0.2, -0.15, 0.3]).reshape(3, 1, 1, 1)
    radius = np.sqrt((((places - centre) / 0.8) ** 2).sum(0))
    voxels = low + (high - low) * np.clip(1.2 - radius, 0, 1)
    return Volume(name, voxels.astype(np.float32), np.eye(4) if affine is None else affine)


def oblique(angles=(20, -15, 10), steps=(1.0, 1.2, 2.5), origin=(-12.0, 7.0, 30.0)):
    """An affine turned about all three axes."""
    turn = np.eye(3)
    for axis, degrees in enumerate(angles):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        rotation = np.eye(3)
        first, second = (a for a in range(3) if a != axis)
        rotation[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        turn = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * steps, origin
    return affine


def write_nifti_file(path, voxels, affine=None, **header):
    image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


def decimals(values):
    return [DS(float(value), auto_format=True) for value in values]


def write_dicom_series(folder, volume, slope=1.0, intercept=0.0, order=None, series=None, **attributes):
    """A series of signed 16-bit images; the files are named in another order than they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = FLIP @ volume.affine
    steps = np.linalg.norm(affine[:3, :2], axis=0)
    uid = series or generate_uid(PYDICOM_ROOT_UID)
    study, frame = generate_uid(), generate_uid()
    count = volume.shape[2]
    for name, k in enumerate(order if order is not None else np.random.default_rng(5).permutation(count)):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = CTImageStorage if attributes.get("Modality") == "CT" else MRImageStorage
        image.SOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, uid, frame
        image.Modality, image.SeriesDescription, image.SeriesNumber = "MR", "t1", 3
        image.PatientName, image.PatientID, image.PatientBirthDate = "Doe^Jane", "MR-4711", "19700101"
        image.PatientPosition = "HFS"
        image.ImageOrientationPatient = decimals((affine[:3, :2] / steps).T.ravel())
        image.ImagePositionPatient = decimals(affine[:3, 3] + k * affine[:3, 2])
        image.PixelSpacing = decimals(steps[::-1])
        image.RescaleSlope, image.RescaleIntercept = slope, intercept
        stored = np.rint((volume.voxels[:, :, k].T - intercept) / slope).astype(np.int16)
        image.set_pixel_data(np.ascontiguousarray(stored), "MONOCHROME2", 16)
        for attribute, value in attributes.items():
            if value is None:
                delattr(image, attribute)
            else:
                setattr(image, attribute, value)
        image.save_as(folder / f"{uid[-6:]}-{name:03d}.dcm", enforce_file_format=True)
    return folder


def multi_frame(volume, modality, sop_class, **attributes):
    """A multi-frame image of a volume, without what says where its frames lie."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = sop_class, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.FrameOfReferenceUID = generate_uid()
    image.Modality, image.SeriesNumber, image.SeriesDescription = modality, 1, "frames"
    image.PatientName, image.PatientID = "Doe^Jane", "MR-4711"
    stored = np.rint(volume.voxels.transpose(2, 1, 0)).astype(np.uint16)
    image.NumberOfFrames = len(stored)
    image.set_pixel_data(np.ascontiguousarray(stored), "MONOCHROME2", 16)
    for attribute, value in attributes.items():
        setattr(image, attribute, value)
    return image


def frame_geometry(volume):
    """Of a volume in DICOM's axes: place of slice k, orientation, spacing of rows and columns, gap."""
    affine = FLIP @ volume.affine
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return (
        lambda k: decimals(affine[:3, 3] + k * affine[:3, 2]),
        decimals((affine[:3, :2] / steps[:2]).T.ravel()),
        decimals(steps[1::-1]),
        float(steps[2]),
    )


def item(**attributes):
    result = Dataset()
    for attribute, value in attributes.items():
        setattr(result, attribute, value)
    return result


def write_enhanced(path, volume, modality="MR", slope=1.0, intercept=0.0, repeats=1, order=None):
    """An enhanced multi-frame image; with ``repeats`` volumes of it, each ten brighter than the last."""
    place, orientation, spacing, gap = frame_geometry(volume)
    frames = [volume.voxels + 10 * t for t in range(repeats)]
    sop = "1.2.840.10008.5.1.4.1.1.4.1" if modality == "MR" else "1.2.840.10008.5.1.4.1.1.2.1"
    stacked = Volume("e", (np.concatenate(frames, axis=2) - intercept) / slope, volume.affine)
    image = multi_frame(stacked, modality, sop)
    count = volume.shape[2]
    groups = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=place(k))],
            FrameContentSequence=[item(TemporalPositionIndex=repeats - t)],
        )
        for t in range(repeats)
        for k in range(count)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=orientation)],
        PixelMeasuresSequence=[item(PixelSpacing=spacing, SliceThickness=gap)],
        PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=intercept)],
    )
    if order is not None:
        pixels = np.frombuffer(image.PixelData, np.uint16).reshape(count, -1)[order]
        image.PixelData = pixels.tobytes()
        groups = [groups[k] for k in order]
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], groups
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def write_nuclear(path, volume, negative=False, **attributes):
    """A reconstruction as gamma cameras write it; ``negative``: from the last slice to the first."""
    place, orientation, spacing, gap = frame_geometry(volume)
    last = volume.shape[2] - 1
    shown = Volume("n", volume.voxels[:, :, ::-1] if negative else volume.voxels, volume.affine)
    image = multi_frame(shown, "NM", "1.2.840.10008.5.1.4.1.1.20", **attributes)
    if "ImageType" not in attributes:
        image.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    image.PixelSpacing, image.SpacingBetweenSlices = spacing, -gap if negative else gap
    image.SliceVector = list(range(1, last + 2))
    detector = item(ImagePositionPatient=place(last if negative else 0), ImageOrientationPatient=orientation)
    image.DetectorInformationSequence = [detector]
    image.save_as(path, enforce_file_format=True)
    return path


def write_dose(path, volume, scaling=0.01, offsets=None):
    """A dose in Gy, stored in steps of ``scaling``."""
    place, orientation, spacing, gap = frame_geometry(volume)
    image = multi_frame(
        Volume("d", volume.voxels / scaling, volume.affine), "RTDOSE", "1.2.840.10008.5.1.4.1.1.481.2"
    )
    image.ImagePositionPatient, image.ImageOrientationPatient = place(0), orientation
    image.PixelSpacing, image.DoseUnits, image.DoseGridScaling = spacing, "GY", scaling
    image.GridFrameOffsetVector = list(np.arange(volume.shape[2]) * gap) if offsets is None else offsets
    image.save_as(path, enforce_file_format=True)
    return path
