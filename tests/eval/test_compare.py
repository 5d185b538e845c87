import json

import numpy as np
import pytest
from mini_data import MiniData, Noisy, mini_protocol

from nearfar.errors import ConfigError, DataError
from nearfar.eval.compare import compare
from nearfar.eval.protocol import override
from nearfar.eval.run import RunPlan, run_protocol


def run(folder, noise, *, count=8, protocol=None):
    run_protocol(
        protocol or mini_protocol("real-folder"),
        MiniData(count),
        Noisy(noise),
        folder=folder,
        plan=RunPlan(),
    )
    return folder


def test_a_better_model_is_found(tmp_path):
    good, bad = run(tmp_path / "good", 0.02), run(tmp_path / "bad", 0.2)
    found = {one.metric: one for one in compare(bad, good / "result.json").differences}
    error, share = found["abs_rel"], found["delta1"]
    assert error.mean < 0 and error.is_clear and error.better == "b"
    assert share.mean > 0 and share.better == "b"
    assert error.mean == pytest.approx(error.b - error.a)
    assert compare(good, bad).differences[0].better == "a"


def test_equal_models_have_no_winner(tmp_path):
    a, b = run(tmp_path / "a", 0.05), run(tmp_path / "b", 0.05)
    for one in compare(a, b).differences:
        assert (one.mean, one.is_clear, one.better) == (0.0, False, "")


class Spread(Noisy):
    """Noise 0.1 in ln(d + 1), with a stated standard deviation of `stated` times that."""

    def __init__(self, stated):
        super().__init__(0.05, sigma=lambda d: np.full(d.shape, 0.05 * stated))


def test_coverage_is_better_near_its_level(tmp_path):
    """Too wide intervals cover more, and are not better for it; sharpness has no winner."""
    for name, stated in (("right", 1.0), ("narrow", 0.2), ("wide", 5.0)):
        run_protocol(
            mini_protocol("real-folder"),
            MiniData(8),
            Spread(stated),
            folder=tmp_path / name,
            plan=RunPlan(),
        )
    for wrong in ("narrow", "wide"):
        rows = compare(tmp_path / wrong, tmp_path / "right").differences
        found = {one.metric: one for one in rows}
        for level in (50, 80, 90):
            one = found[f"coverage_{level}"]
            assert (one.better, one.goal) == ("b", level / 100) and one.high < 0
            assert one.mean == pytest.approx(abs(one.b - one.goal) - abs(one.a - one.goal))
        assert found["calibration_error"].better == "b"
        assert found["sharpness"].is_clear and found["sharpness"].better == ""


def test_a_result_without_its_protocol_is_not_compared(tmp_path):
    a = run(tmp_path / "a", 0.05)
    table = json.loads((a / "result.json").read_text())
    del table["protocol"]["text"]
    (a / "result.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match="no text of its protocol"):
        compare(a, a)


def test_other_protocols_or_lists_are_not_compared(tmp_path):
    a = run(tmp_path / "a", 0.05)
    other = override(mini_protocol("real-folder"), ["mask.max=5.0"])
    with pytest.raises(ConfigError, match="one protocol hash"):
        compare(a, run(tmp_path / "b", 0.05, protocol=other))
    with pytest.raises(ConfigError, match="lists of samples differ"):
        compare(a, run(tmp_path / "c", 0.05, count=7))
