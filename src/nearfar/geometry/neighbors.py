"""Exact nearest-neighbor distances of unordered points: a k-d tree worked on in bulk.

Points are split at the median of each cell's widest side until a leaf holds a few dozen; every
query then compares itself with its own leaf, and with other leaves only while their box is nearer
than its current k-th neighbor. All queries of a batch of leaves move together, so the work is
done by numpy on whole arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAVES_AT_ONCE = 128


class _Tree(NamedTuple):
    """L leaves of P slots each; slots that repeat a point to fill up are `spare`."""

    index_LP: NDArray[np.intp]
    points_LP3: NDArray[np.float32]
    targets_LP3: NDArray[np.float32]  # as points, infinite where spare: never near anything
    low_L3: NDArray[np.float32]
    high_L3: NDArray[np.float32]


def mean_neighbor_distance(
    points_P3: NDArray[np.float32], *, neighbors: int
) -> NDArray[np.float32]:
    """Mean distance [P] of each point to its `neighbors` nearest others (0 if it is alone)."""
    count = min(neighbors, len(points_P3) - 1)
    if count < 1:
        return np.zeros(len(points_P3), np.float32)
    tree = _build(np.ascontiguousarray(points_P3, np.float32), leaf=max(40, 2 * count))
    means = np.empty(len(points_P3), np.float32)
    for start in range(0, len(tree.index_LP), _LEAVES_AT_ONCE):
        leaves = np.arange(start, min(start + _LEAVES_AT_ONCE, len(tree.index_LP)))
        distance_P = np.sqrt(_search(tree, leaves, count)).mean(axis=1)
        real_P = np.isfinite(tree.targets_LP3[leaves, :, 0]).ravel()
        means[tree.index_LP[leaves].ravel()[real_P]] = distance_P[real_P]
    return means


def _build(points_P3: NDArray[np.float32], *, leaf: int) -> _Tree:
    """The balanced tree whose leaves hold `leaf` to 2 * `leaf` slots."""
    depth = max(0, (len(points_P3) // leaf).bit_length() - 1)
    size = -(-len(points_P3) // 2**depth)
    slots = np.arange(size * 2**depth)
    spare = slots >= len(points_P3)
    # spares repeat points spread over the whole cloud, so that no leaf is filled by them
    slots[spare] = np.linspace(0, len(points_P3) - 1, spare.sum()).astype(np.intp)
    order = np.arange(len(slots))[None]
    for _ in range(depth):
        cell = points_P3[slots[order]]
        side = np.argmax(np.ptp(cell, axis=1), axis=1)
        along = np.take_along_axis(cell, side[:, None, None], axis=2)[..., 0]
        half = order.shape[1] // 2
        split = np.argpartition(along, half, axis=1)
        order = np.take_along_axis(order, split, axis=1).reshape(-1, half)
    points_LP3 = points_P3[slots[order]]
    targets_LP3 = np.where(spare[order][..., None], np.float32(np.inf), points_LP3)
    return _Tree(
        slots[order], points_LP3, targets_LP3, points_LP3.min(axis=1), points_LP3.max(axis=1)
    )


def _search(tree: _Tree, leaves: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Squared distances [queries, count] of all slots of these leaves to their nearest others."""
    queries_P3 = tree.points_LP3[leaves].reshape(-1, 3)
    near_PK = _own_leaf(tree, leaves, count)
    limit_P = near_PK.max(axis=1)
    query, leaf, square = _candidates(tree, leaves, limit_P)
    first = np.searchsorted(query, np.arange(len(queries_P3)))
    last = np.searchsorted(query, np.arange(len(queries_P3)), side="right")
    active = np.flatnonzero(first < last)
    for turn in range(int((last - first).max(initial=0))):
        active = active[first[active] + turn < last[active]]
        place = first[active] + turn
        nearer = square[place] < limit_P[active]  # sorted by box distance: the rest is farther yet
        active, place = active[nearer], place[nearer]
        if not len(active):
            break
        found = _squares(queries_P3[active][:, None], tree.targets_LP3[leaf[place]])
        merged = np.concatenate([near_PK[active], found], axis=1)
        near_PK[active] = np.partition(merged, count - 1, axis=1)[:, :count]
        limit_P[active] = near_PK[active].max(axis=1)
    return near_PK


def _own_leaf(tree: _Tree, leaves: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Squared distances [queries, count] to the nearest others within the query's own leaf."""
    squares = _squares(tree.points_LP3[leaves][:, :, None], tree.targets_LP3[leaves][:, None])
    own = np.arange(squares.shape[1])
    squares[:, own, own] = np.inf
    return np.partition(squares, count - 1, axis=2)[..., :count].reshape(-1, count)


class _Pairs(NamedTuple):
    """Query and leaf to compare, sorted by query and then by squared distance to the leaf's box."""

    query: NDArray[np.intp]
    leaf: NDArray[np.intp]
    square: NDArray[np.float32]


def _candidates(tree: _Tree, leaves: NDArray[np.intp], limit_P: NDArray[np.float32]) -> _Pairs:
    """The leaves that may hold a nearer neighbor of each query than it knows."""
    slots = tree.index_LP.shape[1]
    zero = np.float32(0)
    reach = limit_P.reshape(len(leaves), slots).max(axis=1)
    gap = np.maximum(tree.low_L3[leaves][:, None] - tree.high_L3[None], zero)
    gap = np.maximum(gap, tree.low_L3[None] - tree.high_L3[leaves][:, None])
    close = np.square(gap).sum(axis=2) < reach[:, None]
    close[np.arange(len(leaves)), leaves] = False
    block, leaf = np.nonzero(close)
    points = tree.points_LP3[leaves[block]]
    box = np.maximum(tree.low_L3[leaf][:, None] - points, points - tree.high_L3[leaf][:, None])
    square = np.square(np.maximum(box, zero)).sum(axis=2)
    pair, slot = np.nonzero(square < limit_P.reshape(len(leaves), slots)[block])
    query = block[pair] * slots + slot
    square = square[pair, slot]
    order = np.lexsort((square, query))
    return _Pairs(query[order], leaf[pair][order], square[order])


def _squares(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances of broadcast points [..., 3], by differences (exact for near points)."""
    total: NDArray[np.float32] = np.square(left[..., 0] - right[..., 0])
    total += np.square(left[..., 1] - right[..., 1])
    total += np.square(left[..., 2] - right[..., 2])
    return total
