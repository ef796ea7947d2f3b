"""Pictures as arrays and files: formats, depths, sizes, metadata, pairs of files; no knowledge of fusion."""
