import numpy as np
import pytest

from nearfar.errors import ConfigError, InputError
from nearfar.io.video.codes import DepthRange
from nearfar.pipeline.video.checkpoint import Checkpoint, checkpoint_path, load_checkpoint
from nearfar.pipeline.video.limits import DepthCounts
from nearfar.pipeline.video.state import StreamState
from nearfar.result import DepthKind, DepthResult


def test_a_checkpoint_comes_back(tmp_path):
    counts = DepthCounts()
    depth = np.random.default_rng(0).random((9, 9), np.float32)
    counts.add(DepthResult(depth=depth, kind=DepthKind.METRIC, valid=depth > 0))
    done = Checkpoint(
        belongs="a",
        parts=3,
        stream=StreamState(frames=31, fov_x_deg=60.5),
        limits=DepthRange(0.1, 1 / 3),
        counts=counts,
        kind=DepthKind.METRIC,
        cuts=[4, 17],
        seconds=12.5,
    )
    done.save(tmp_path)
    back = load_checkpoint(tmp_path, belongs="a")
    assert (back.parts, back.cuts, back.seconds, back.kind) == (3, [4, 17], 12.5, DepthKind.METRIC)
    assert back.limits == done.limits
    assert (back.stream.frames, back.stream.fov_x_deg) == (31, 60.5)
    assert back.counts.quantiles() == counts.quantiles()
    assert back.counts.extremes() == counts.extremes()
    assert load_checkpoint(tmp_path / "other", belongs="a") is None


def test_other_settings_and_damage_are_refused(tmp_path):
    Checkpoint(belongs="a").save(tmp_path)
    with pytest.raises(ConfigError, match="begun with another clip or other settings"):
        load_checkpoint(tmp_path, belongs="b")
    path = checkpoint_path(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(tmp_path, belongs="a")
