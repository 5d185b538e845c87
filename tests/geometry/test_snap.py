"""Slopes that become steps: values are picked, planes stay, sizes are checked."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.geometry.snap import largest_around, snap_edges


def case(edge=20, middle=18.0):
    """A map that passes from 0 to 1 over ten columns, and a photo with one sharp edge."""
    columns = torch.arange(40.0)
    slope = torch.sigmoid((columns - middle) / 2).expand(1, 1, 24, 40).contiguous()
    return slope, (columns >= edge).float().expand(1, 3, 24, 40).contiguous()


def test_a_slope_becomes_a_step_where_the_photo_has_its_edge():
    slope, photo = case()
    steps = snap_edges(slope, photo, least_step=0.05)[0, 0].diff(dim=1)
    assert slope[0, 0].diff(dim=1).max() < 0.13
    assert (steps.argmax(dim=1) == 19).all() and steps[:, 19].min() > 0.4
    assert steps[:, :18].abs().max() < 0.12


def test_every_value_was_there_before():
    slope, photo = case()
    found = snap_edges(slope, photo, least_step=0.05, rounds=1)
    assert torch.isin(found, slope).all()


def test_planes_and_what_changes_little_stay():
    plane = torch.linspace(0, 3, 30)[:, None].expand(1, 1, 30, 20).contiguous()
    grey = torch.full((1, 3, 30, 20), 0.5)
    torch.testing.assert_close(snap_edges(plane, grey, least_step=0.05), plane)
    slope, photo = case()
    assert torch.equal(snap_edges(slope, photo, least_step=2.0), slope)


def test_photos_of_a_batch_do_not_meet():
    (one, edge), (two, other) = case(), case(edge=10, middle=12.0)
    together = snap_edges(torch.cat([one, two]), torch.cat([edge, other]), least_step=0.05)
    assert torch.equal(together[:1], snap_edges(one, edge, least_step=0.05))
    assert torch.equal(together[1:], snap_edges(two, other, least_step=0.05))


def test_sizes_that_differ_are_named():
    slope, photo = case()
    with pytest.raises(ConfigError, match="snap_edges"):
        snap_edges(slope, photo[..., :-1], least_step=0.05)


def test_the_largest_value_around_a_pixel():
    dot = torch.zeros(1, 1, 9, 12)
    dot[0, 0, 3, 10] = 1.0
    found = largest_around(dot, 2)[0, 0]
    assert found[1:6, 8:].eq(1).all() and found.sum() == 20
    assert largest_around(-1 - dot, 2).max() == -1  # what lies outside never counts
