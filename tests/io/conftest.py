import numpy as np
import pytest

from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.result import DepthKind, DepthResult


def make_result(kind="metric", *, seed=0, shape=(23, 31), low=0.5, high=60.0, full=True):
    """A random result with holes, sky and, if `full`, every optional field."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(low, high, shape).astype(np.float32)
    sky = np.zeros(shape, bool)
    sky[: shape[0] // 4] = True
    valid = (rng.random(shape) > 0.2) & ~sky
    if not full:
        return DepthResult(depth=depth, kind=DepthKind(kind), valid=valid)
    return DepthResult(
        depth=depth,
        kind=DepthKind(kind),
        valid=valid,
        sky=sky,
        uncertainty=rng.random(shape).astype(np.float32),
        intrinsics=intrinsics_from_fov(61.5, shape),
        fov_x_deg=61.5,
        metric_reference="tiny",
        model="ppd-tiny",
        weights_sha256="ab" * 32,
        seed=2**40 + 1,
        steps=4,
        licence="Apache-2.0, \u00e9",
        seconds=1.25,
        image=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
    )


@pytest.fixture
def result_of():
    return make_result
