"""benchmarks/predict_tiny.py: every way is timed at the same steps, costs are what they say."""

import sys
from types import SimpleNamespace

import pytest
from source_tree import ROOT

from nearfar.weights.registry import find


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import predict_tiny
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return predict_tiny


def test_a_way_is_measured_at_the_steps_asked_for_or_the_models_own(script, tmp_path, monkeypatch):
    asked = []

    def timed(model, options, **settings):
        asked.append(settings)
        maps = settings.get("ensemble_size", 1)
        calls = settings["steps"] * (1 if settings.get("ensemble_start") == "first" else maps)
        return [9.0, 2.0 * calls, 2.0 * calls], [9.0, 1.0 * calls, 1.0 * calls]

    monkeypatch.setattr(script, "timed", timed)
    options = SimpleNamespace(
        model="ppd-tiny", steps=2, threads=None, way="plain", photo=None, resolution=None
    )
    found = script.measure(options)
    assert (found["steps"], found["dtype"]) == (2, "float32")
    assert (found["first_predict_s"], found["predict_s"], found["one_step_s"]) == (9.0, 4.0, 2.0)
    assert (found["predict_processor_s"], found["ensemble_cost"]) == (2.0, 8.0)
    assert found["ensemble_starts"] == {
        "noise": {"cost": 8.0, "processor_cost": 8.0},
        "first": {"cost": 1.0, "processor_cost": 1.0},
    }
    assert [settings["steps"] for settings in asked] == [2, 1, 2, 2, 2]
    assert script.GOALS.keys() <= found.keys()
    options.steps = None
    assert script.measure(options)["steps"] == find("ppd-tiny").steps


def test_calls_are_timed_on_the_photo_at_its_own_size(script, tmp_path):
    import nearfar

    photo = script.write_photo(tmp_path / "photo.png")
    options = SimpleNamespace(photo=photo, resolution=48, repeats=1)
    model = nearfar.load("ppd-tiny", dtype="fp32")
    seconds, processor = script.timed(model, options, steps=1, ensemble_start="first")
    assert len(seconds) == len(processor) == 2 and min(seconds) > 0 and min(processor) > 0
    assert script.starts_of(model) == ("noise", "first")
    assert script.starts_of(nearfar.load("dar-tiny")) == ()
