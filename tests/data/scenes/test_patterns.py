import numpy as np
import pytest

from nearfar.data.scenes import patterns


def test_streaks_run_along_x():
    drawn = patterns.streaks(np.random.default_rng(0), 0.8, 15.0)
    along, across = np.abs(np.diff(drawn, axis=1)).mean(), np.abs(np.diff(drawn, axis=0)).mean()
    assert drawn.std() == pytest.approx(1) and across > 2 * along


@pytest.mark.parametrize("name", ["planks", "veneer", "carpet", "concrete", "folds", "ribs", "rug"])
def test_surfaces_vary_with_their_generator_only(name):
    draw = getattr(patterns, name)
    one, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (patterns.SIZE, patterns.SIZE, 3) and np.isfinite(one).all()
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_natural_surfaces_are_faint():
    for draw in (patterns.veneer, patterns.concrete, patterns.carpet):
        spread = [draw(np.random.default_rng(i)).std() for i in range(5)]
        assert 0.01 < np.median(spread) < 0.4
