"""The clever searches against trying every anchor."""

import numpy as np
import pytest

from nearfar.geometry.l1_search import _solve, best_anchor, best_scales, descend


def samples(seed, axes, kind, count=60):
    rng = np.random.default_rng(seed)
    x = rng.random((axes, count))
    y = 2 * x + 1 + 0.2 * rng.standard_cauchy(x.shape)
    w = np.broadcast_to(rng.uniform(0.1, 2, count), x.shape).copy()
    if kind == "grid":  # many samples on one line, many equal x: ties everywhere
        x, y, w = np.round(x * 4), np.round(y * 2), np.ones_like(w)
    if kind == "exact":
        y = -3 * x + 0.5
    return x, y, w


def everything(x, y, w, moves, truncation=None):
    return _solve(np.arange(x.shape[1]), x, y, w, moves, truncation)


@pytest.mark.parametrize("kind", ["cauchy", "grid", "exact"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("axes", [1, 3])
def test_descent_ends_at_the_minimum(kind, seed, axes):
    x, y, w = samples(seed, axes, kind)
    moves = np.array([False] * (axes - 1) + [True])
    if kind == "exact" and axes == 3:
        y = -3 * x
    found, wanted = descend(x, y, w, moves), everything(x, y, w, moves)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["cauchy", "grid"])
@pytest.mark.parametrize("seed", range(6))
def test_bounds_never_drop_the_best_anchor(kind, seed):
    x, y, w = samples(seed, 3, kind, count=400)
    moves = np.ones(3, bool)
    found, wanted = best_anchor(x, y, w, moves, None), everything(x, y, w, moves)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-12)
    if kind == "cauchy":
        assert found == wanted


@pytest.mark.parametrize("kind", ["cauchy", "exact", "constant", "repeated", "far"])
def test_few_anchors_are_solved_one_by_one(kind, monkeypatch):
    """4096 points took 13 s when too many anchors stayed; equal ones are tried once."""
    x, y, w = samples(1, 3, "exact" if kind == "exact" else "cauchy", count=600)
    if kind == "constant":
        x = np.ones_like(x)
    if kind == "repeated":
        x, y, w = (np.repeat(a[:, ::10], 10, axis=1) for a in (x, y, w))
    if kind == "far":
        y = y + 1e6
    wanted = everything(x, y, w, np.ones(3, bool))
    solved = []

    def counted(x_LP, *others):
        solved.append(len(x_LP))
        return best_scales(x_LP, *others)

    monkeypatch.setattr("nearfar.geometry.l1_search.best_scales", counted)
    found = best_anchor(x, y, w, np.ones(3, bool), None)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-9, abs=1e-9)
    assert sum(solved) < 200


@pytest.mark.parametrize("seed", range(5))
def test_sorted_sums_find_the_best_truncated_ratio(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, 40)), rng.random((2, 40))
    y = 2 * x + rng.standard_cauchy(x.shape)
    found = best_scales(x, y, w, 0.3)
    for row in range(2):
        ratios = y[row] / x[row]
        losses = np.minimum(w[row] * np.abs(ratios[:, None] * x[row] - y[row]), 0.3).sum(axis=1)
        assert found.loss_L[row] == pytest.approx(losses.min(), rel=1e-12)


STUCK = [  # whole numbers on which turning about the two obvious samples stops too early
    ("3030202310020", "2554404522020", 16.5),
    ("10302323", "11400020", 22 / 3),
]


@pytest.mark.parametrize(("x", "y", "loss"), STUCK)
def test_descent_leaves_lines_with_many_samples(x, y, loss):
    x, y = (np.array([[float(digit) for digit in digits]]) for digits in (x, y))
    w, moves = np.ones_like(x), np.array([True])
    assert everything(x, y, w, moves).loss == pytest.approx(loss)
    assert descend(x, y, w, moves).loss == pytest.approx(loss)
