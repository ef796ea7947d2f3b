"""Pairs of pictures: folders and named sets, patches for training, and rendered scenes."""
