import pytest
from mini_data import MiniData, Noisy, mini_protocol

from sonde.errors import ConfigError
from sonde.eval.compare import compare
from sonde.eval.protocol import override
from sonde.eval.run import RunPlan, run_protocol


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


def test_other_protocols_or_lists_are_not_compared(tmp_path):
    a = run(tmp_path / "a", 0.05)
    other = override(mini_protocol("real-folder"), ["mask.max=5.0"])
    with pytest.raises(ConfigError, match="one protocol hash"):
        compare(a, run(tmp_path / "b", 0.05, protocol=other))
    with pytest.raises(ConfigError, match="lists of samples differ"):
        compare(a, run(tmp_path / "c", 0.05, count=7))
