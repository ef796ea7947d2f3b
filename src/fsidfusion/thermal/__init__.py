"""Thermal cameras: raw counts, temperatures, false colours, and what is hot."""
