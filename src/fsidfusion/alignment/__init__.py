"""Alignment of infrared to visible pictures: estimate, keep in a file, apply, measure."""
