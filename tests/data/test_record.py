from dataclasses import replace

import numpy as np
import pytest

from nearfar.data.record import DepthRecord
from nearfar.errors import DataError


@pytest.fixture
def record() -> DepthRecord:
    depth = np.full((2, 3), 1.5, np.float32)
    depth[0, 0] = 0
    return DepthRecord(
        sample_id="set/scene/1",
        scene="scene",
        rgb_HW3=np.zeros((2, 3, 3), np.uint8),
        depth_HW=depth,
        valid_HW=depth > 0,
        sky_HW=np.zeros((2, 3), bool),
    )


def test_a_record_that_keeps_the_contract_is_taken(record):
    assert record.depth_kind == "metric" and record.valid_HW.sum() == 5


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"valid_HW": np.ones((2, 3), bool)}, "contradict"),
        ({"valid_HW": np.zeros((2, 3), bool)}, "contradict"),
        ({"sky_HW": np.ones((2, 3), bool)}, "sky and has depth"),
        ({"sky_HW": np.zeros((3, 3), bool)}, "sky is"),
        ({"masks": {"wall": np.zeros((1, 3), bool)}}, "wall is"),
        ({"depth_HW": np.full((2, 3), np.nan, np.float32)}, "not finite"),
        ({"depth_HW": np.zeros((2, 3))}, "not finite float32"),
        ({"rgb_HW3": np.zeros((2, 3, 4), np.uint8)}, "photo is"),
        ({"depth_kind": "height"}, "unknown"),
    ],
)
def test_a_record_that_breaks_the_contract_is_refused_by_name(record, change, finding):
    with pytest.raises(DataError, match=rf"set/scene/1: .*{finding}"):
        replace(record, **change)
