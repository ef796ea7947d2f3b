"""Every HTML page and plot of the project comes from here; knows nothing of what it shows.

``page`` fills Jinja2 templates, which escape whatever a file or a set is called; ``plots`` draws SVG.
"""

from fsidfusion.report.page import Card, Cell, Section, Swatch, fill_page, render
from fsidfusion.report.plots import Bar, Point, bars, lines, matrix, scatter

__all__ = [
    "Bar",
    "Card",
    "Cell",
    "Point",
    "Section",
    "Swatch",
    "bars",
    "fill_page",
    "lines",
    "matrix",
    "render",
    "scatter",
]
