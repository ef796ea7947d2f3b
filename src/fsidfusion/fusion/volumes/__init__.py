"""Volumes of scanners: DICOM and NIfTI in, one grid, slices through the pipeline, DICOM and NIfTI out."""
