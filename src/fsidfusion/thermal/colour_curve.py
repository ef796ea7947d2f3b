"""The line through RGB on which the colours of a false-coloured picture lie, estimated from the picture.

Colours that occur become the nodes of a graph, joined to those nearest to them. The two nodes that lie
farthest apart along it are the ends of the palette, and the way between them gives the order of all colours,
as in the ordering of curves by geodesics (Tenenbaum, de Silva and Langford, Science 290, 2000). A photograph
fills a volume instead of a line, and is told by that.
"""

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.pixels import luma

_BIN = 10  # of 0..255: colours nearer than that are one node
_LEAST_SHARE = 2e-4  # of the pixels in a node that counts
_MOST_NODES = 1500
_NEIGHBOURS = 6
_GAP = 70.0  # longest step in RGB between neighbours on the line
_LEAST_LENGTH = 120.0  # of the line
_THICKNESS = 0.06  # of the line's length: the mean detour of a pixel's colour on the way from end to end
_POINTS = 64  # of the line, before it is drawn in 256 colours
_CLEAR_LUMA = 0.12  # by which the hot end is brighter, where that decides


def estimate_curve(pixels: NDArray[np.integer]) -> NDArray[np.uint8] | None:
    """The colours of an unknown palette from cold to hot.

    The darker end is taken for the cold one; where both are alike, the one with more blue.

    Args:
        pixels: (N, 3) RGB, a sample of a picture.

    Returns:
        (256, 3) uint8, or None where the colours lie on no line.
    """
    nodes, weights = _nodes(pixels)
    if len(nodes) < 8 or len(nodes) > _MOST_NODES:
        return None
    graph = _graph(nodes)
    heaviest = int(weights.argmax())
    first = _ways(graph, heaviest)
    reached = np.isfinite(first)
    if weights[reached].sum() < 0.9 * weights.sum():
        return None
    start = int(np.where(reached, first, -1).argmax())
    ahead = _ways(graph, start)
    end = int(np.where(reached, ahead, -1).argmax())
    back = _ways(graph, end)
    length = float(ahead[end])
    if length < _LEAST_LENGTH:
        return None
    with np.errstate(invalid="ignore"):
        detour = np.where(reached, (ahead + back - length) / 2, 0.0)
        share = np.where(reached, (ahead + length - back) / (2 * length), 0.0)  # of the way, 0..1
    if float(np.average(detour, weights=weights)) > _THICKNESS * length or _is_folded(nodes, share, weights):
        return None
    line = _line(nodes[reached], share[reached], weights[reached])
    return line if _rises(line) else np.ascontiguousarray(line[::-1])


def _nodes(pixels: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean colours (N, 3) of the cells that hold enough pixels, and how many these are (N,)."""
    cells = pixels.astype(np.int64) // _BIN
    packed = cells @ np.array([1 << 16, 1 << 8, 1])
    _, member, number = np.unique(packed, return_inverse=True, return_counts=True)
    mean = np.stack(
        [np.bincount(member, pixels[:, channel], len(number)) / number for channel in range(3)], -1
    )
    enough = number >= max(2, _LEAST_SHARE * len(pixels))
    return mean[enough], number[enough].astype(np.float64)


def _graph(nodes: NDArray[np.float64]) -> list[list[tuple[int, float]]]:
    """Of each node those it is joined to, with their distances: its nearest ones, and whose nearest it is."""
    graph: list[list[tuple[int, float]]] = [[] for _ in nodes]
    number = min(_NEIGHBOURS, len(nodes) - 1)
    for one, place in enumerate(nodes):
        steps = nodes - place
        distance = np.sqrt((steps * steps).sum(1))
        distance[one] = np.inf
        for other in np.argpartition(distance, number - 1)[:number]:
            if distance[other] <= _GAP:
                graph[one].append((int(other), float(distance[other])))
                graph[int(other)].append((one, float(distance[other])))
    return graph


def _ways(graph: list[list[tuple[int, float]]], start: int) -> NDArray[np.float64]:
    """The length of the shortest way from a node to each, infinite where there is none (Dijkstra, 1959)."""
    length = np.full(len(graph), np.inf)
    length[start] = 0.0
    waiting = [(0.0, start)]
    while waiting:
        reached, node = heappop(waiting)
        if reached > length[node]:
            continue
        for other, step in graph[node]:
            if reached + step < length[other]:
                length[other] = reached + step
                heappush(waiting, (reached + step, other))
    return length


def _is_folded(nodes: NDArray[np.float64], share: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    """Whether colours at one place of the way lie far apart, as those of a surface or a volume do."""
    place = np.minimum((share * _POINTS).astype(int), _POINTS - 1)
    total = np.bincount(place, weights, _POINTS) + 1e-9
    mean = np.stack([np.bincount(place, weights * nodes[:, c], _POINTS) / total for c in range(3)], -1)
    spread = np.sqrt(((nodes - mean[place]) ** 2).sum(-1))
    return float(np.average(spread, weights=weights)) > 24.0


def _line(
    nodes: NDArray[np.float64], share: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """256 colours along the way, by weighted means of the nodes near each place."""
    places = np.linspace(0.0, 1.0, _POINTS)
    near = np.exp(-(((places[:, None] - share) * _POINTS) ** 2) / 2) * np.sqrt(weights)
    colours = near @ nodes / (near.sum(-1, keepdims=True) + 1e-12)
    known = near.sum(-1) > 1e-3
    fine = np.linspace(0.0, 1.0, 256)
    drawn = [np.interp(fine, places[known], channel) for channel in colours[known].T]
    return np.rint(np.stack(drawn, -1)).clip(0, 255).astype(np.uint8)


def _rises(line: NDArray[np.uint8]) -> bool:
    """Whether a line leads from cold to hot."""
    cold, hot = line[:16].mean(0) / 255, line[-16:].mean(0) / 255
    rise = float(luma(hot.reshape(1, 1, 3))[0, 0] - luma(cold.reshape(1, 1, 3))[0, 0])
    if abs(rise) > _CLEAR_LUMA:
        return rise > 0
    return bool(hot[0] - hot[2] > cold[0] - cold[2])
