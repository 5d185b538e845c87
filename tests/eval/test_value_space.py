import pytest

from nearfar.errors import ConfigError
from nearfar.eval.value_space import (
    CONVERSIONS,
    VALUE_SPACES,
    checked_accepts,
    conversion_for,
    value_space_of,
)
from nearfar.result import DepthKind


def test_every_kind_of_result_has_a_family():
    assert {value_space_of(kind) for kind in DepthKind} <= set(VALUE_SPACES)
    assert value_space_of(DepthKind.AFFINE_LOG_DEPTH) == "affine_log1p"


def test_what_is_not_accepted_is_refused_with_the_reason():
    accepts = {"affine_log1p": "none", "metric": "log1p"}
    assert conversion_for(accepts, "metric", protocol="p") == "log1p"
    with pytest.raises(ConfigError, match=r"affine_depth .* accepted are affine_log1p .*silently"):
        conversion_for(accepts, "affine_depth", protocol="p")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"depth": "none"}, {"metric": "inverse"}, {"affine_depth": "disparity"}],
)
def test_impossible_tables_are_refused(wrong):
    with pytest.raises(ConfigError):
        checked_accepts(wrong, where="here")


def test_conversions_are_those_of_the_alignments():
    import numpy as np

    from nearfar.eval.align import converted

    for name in CONVERSIONS:
        assert np.isfinite(converted(np.array([[2.0]]), name)).all()
