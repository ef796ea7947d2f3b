"""The fusion itself: one pipeline for arrays, files, video frames and slices of volumes."""
