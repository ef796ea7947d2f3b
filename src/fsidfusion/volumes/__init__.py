"""Scanned volumes: NIfTI files and DICOM series on their own grids, fused slice by slice."""
