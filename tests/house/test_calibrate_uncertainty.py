"""scripts/calibrate_uncertainty.py with a model of known noise: numbers, card, nothing else."""

import dataclasses
import importlib.util
import json
import types

import numpy as np
import pytest
import torch
from source_tree import ROOT

from nearfar.errors import WeightsError
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import fill_from_card, find


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "calibrate_uncertainty.py"
    spec = importlib.util.spec_from_file_location("calibrate_uncertainty", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scenes(script, count, seed):
    """Photos whose truth is what the fake predicts from them, and a mistake it does not know."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rgb = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        rows = np.linspace(1, 0, 48)[:, None]
        own = 0.7 * rows - 0.3 * rgb.mean(axis=2) / 255 + 0.05 * rng.normal(size=(48, 64))
        depth = np.expm1(2 * own + 1.5).astype(np.float32)
        yield script.Scene(rgb, depth, np.ones(depth.shape, bool))


@pytest.fixture
def loaded(make_model):
    entry = dataclasses.replace(
        find("ppd-tiny"), name="fake", uncertainty={"method": "gain_floor", "gain": 9, "floor": 9}
    )
    return LoadedModel(make_model(noise=0.02)._predictor, entry, "ab" * 32)


def test_a_calibrated_card_covers_and_keeps_the_rest(script, loaded, tmp_path):
    splits = [list(scenes(script, 6, 0)), list(scenes(script, 4, 1))]
    table = script.calibrate(loaded, splits, ensemble_size=6, steps=None)
    assert table["coverage_before"]["90"] < 0.6  # and not what the old card's table gives
    for level in ("50", "80", "90", "95"):
        assert table["coverage_after"][level] == pytest.approx(int(level) / 100, abs=0.05)
    assert table["after"]["calibration_error"] < 0.05 < table["before"]["calibration_error"]
    assert (table["ensemble_size"], table["steps"], table["kind"]) == (6, 4, "affine_log_depth")
    assert table["scenes"] == {"fit": 6, "check": 4} and table["weights_sha256"] == "ab" * 32

    card = tmp_path / "card.json"
    card.write_text(json.dumps({"sha256": "cd", "validation": {"abs_rel": 0.1}}))
    assert script.card_of(str(tmp_path)) == card
    script.write(card, table)
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
    entry = fill_from_card(dataclasses.replace(find("ppd-tiny"), start=None), card)
    assert entry.sha256 == "cd" and entry.metrics == {"abs_rel": 0.1}
    assert entry.uncertainty["gain"] == table["gain"]
    assert entry.start is None and table["ensemble_start"] == "noise"


def test_a_start_is_calibrated_for_and_becomes_the_models_own(script, loaded, tmp_path):
    asked = []

    class Starting:
        """The fake, told where hypotheses start; those from the first are nearly alike."""

        default_steps, default_area = 4, loaded.predictor.default_area
        default_start = "noise"
        options = frozenset({"ensemble_start"})

        def predict(self, image_3HW, config, **options):
            asked.append(config.ensemble_start)
            found = loaded.predictor.predict(image_3HW, config, **options)
            if config.ensemble_start != "first":
                return found
            first = found.depth_Shw[:1]
            return found._replace(depth_Shw=first + 0.25 * (found.depth_Shw - first))

    splits = [list(scenes(script, 4, 0)), list(scenes(script, 3, 1))]
    starting = loaded._replace(predictor=Starting())
    settings = {"ensemble_size": 4, "steps": None}
    own = script.calibrate(starting, splits, **settings)
    table = script.calibrate(starting, splits, **settings, start="first")
    assert set(asked) == {None, "first"}
    assert (own["ensemble_start"], table["ensemble_start"]) == ("noise", "first")
    assert table["coverage_before"]["90"] < own["coverage_before"]["90"]
    assert table["coverage_after"]["90"] == pytest.approx(0.9, abs=0.05)
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"sha256": "cd", "note": "kept"}))
    script.write(card, table, start="first")
    assert fill_from_card(find("ppd-tiny"), card).start == "first"
    assert json.loads(card.read_text())["note"] == "kept"


def test_a_family_that_knows_its_spread_is_calibrated_with_a_single_map(script, loaded):
    class Sure:
        """The fake with a deviation of its own, four times too small."""

        default_steps, default_area = 1, loaded.predictor.default_area

        options = frozenset()

        def predict(self, image_3HW, config, **options):
            found = loaded.predictor.predict(image_3HW, config, **options)
            return found._replace(spread_Shw=torch.full_like(found.depth_Shw, 0.0125))

    splits = [list(scenes(script, 4, 0)), list(scenes(script, 3, 1))]
    table = script.calibrate(
        loaded._replace(predictor=Sure()), splits, ensemble_size=None, steps=None
    )
    assert table["ensemble_size"] == 1
    assert table["coverage_before"]["90"] < 0.6
    assert table["coverage_after"]["90"] == pytest.approx(0.9, abs=0.05)
    drawn = script.calibrate(loaded, [s[:1] for s in splits], ensemble_size=None, steps=None)
    assert drawn["ensemble_size"] == 8


def test_cards_are_found_or_refused(script, tmp_path):
    assert script.card_of("ppd-tiny").name == "ppd_tiny.json"
    for model in ("ppd-moge2", str(tmp_path)):
        with pytest.raises(WeightsError, match="no card"):
            script.card_of(model)


def test_the_splits_are_nobody_elses(script):
    from nearfar.data.benchmarks.rendered import FIRST_VALIDATION_SEED, HELD_OUT_SEED

    assert len({script.FIT_SEED, script.CHECK_SEED, HELD_OUT_SEED, FIRST_VALIDATION_SEED}) == 4


def test_scenes_leave_out_sky_and_what_is_far(script, monkeypatch):
    asked = []

    def render(indices, *, seed, size_hw, device, options):
        asked.append((list(indices), seed, options.texture_seed))
        depth = torch.tensor([[[3.0, 90.0, 0.0, 5.0]]])
        sky = torch.tensor([[[False, False, True, False]]])
        return types.SimpleNamespace(
            image_B3HW=torch.full((1, 3, 1, 4), 0.5), depth_BHW=depth, sky_BHW=sky
        )

    monkeypatch.setattr(script, "render_scenes", render)
    one, _ = script.rendered(script.FIT_SEED, 2)
    assert asked == [([0], 3_000_003, 3_000_003), ([1], 3_000_003, 3_000_003)]
    assert one.valid_HW.tolist() == [[True, False, False, True]]
    assert one.rgb_HW3.shape == (1, 4, 3) and (one.rgb_HW3 == 128).all()


def test_one_hypothesis_has_nothing_to_calibrate(script, loaded):
    with pytest.raises(WeightsError, match="no spread"):
        script.calibrate(loaded, [list(scenes(script, 1, 0))] * 2, ensemble_size=1, steps=1)
