import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.io.video.codes import INVALID, SKY, DepthRange, decode_depth, encode_depth
from nearfar.result import DepthKind, DepthResult


def result_of(depth, *, valid=None, sky=None):
    depth = np.asarray(depth, np.float32)
    valid = np.isfinite(depth) if valid is None else np.asarray(valid)
    return DepthResult(depth=depth, kind=DepthKind.METRIC, valid=valid, sky=sky)


def test_the_law_of_the_codes():
    result = result_of([[1.0, 3.0, 2.0, np.nan, 5.0]], sky=np.array([[0, 0, 0, 0, 1]], bool))
    result = result_of(result.depth, valid=[[True, True, True, False, False]], sky=result.sky)
    codes = encode_depth(result, DepthRange(1, 3))
    assert codes.tolist() == [[1, 65534, 1 + round(65533 / 2), INVALID, SKY]]
    back = decode_depth(codes, DepthRange(1, 3))
    assert back.depth_HW[0, :3] == pytest.approx([1, 3, 2], abs=2 / 65533)
    assert np.isnan(back.depth_HW[0, 3:]).all()
    assert back.valid_HW.tolist() == [[True, True, True, False, False]]
    assert back.sky_HW.tolist() == [[False, False, False, False, True]]


def test_every_value_comes_back_within_half_a_step():
    depth = np.random.default_rng(0).uniform(-1, 4, (40, 50)).astype(np.float32)
    limits = DepthRange(-1, 4)
    back = decode_depth(encode_depth(result_of(depth), limits), limits)
    assert np.abs(back.depth_HW - depth).max() <= 0.51 * 5 / 65533


def test_values_beyond_the_range_become_its_ends():
    codes = encode_depth(result_of([[0.5, 9.0]]), DepthRange(1, 3))
    assert codes.tolist() == [[1, 65534]]


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_impossible_ranges_are_refused(limits):
    with pytest.raises(ConfigError, match="is not a range"):
        encode_depth(result_of([[1.0]]), DepthRange(*limits))
