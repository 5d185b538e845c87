"""benchmarks/real_check.py on an invented kit: it must not rot between two uses."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from PIL import Image
from source_tree import ROOT


@pytest.fixture(scope="module")
def real_check():
    sys.path.insert(0, str(ROOT / "benchmarks"))  # for stamp
    try:
        path = ROOT / "benchmarks" / "real_check.py"
        spec = importlib.util.spec_from_file_location("real_check", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return module


@pytest.fixture
def kit(tmp_path):
    """Three pairs of two scenes: depth steps inside a ramp; the last truth is sparse."""
    entries = []
    for number, scene in enumerate(["a", "a", "b"]):
        depth = np.linspace(6, 2, 48)[:, None] * np.ones((48, 64), np.float32)
        depth[10:30, 20 + 8 * number : 40] = 1.5
        mask = np.ones(depth.shape, bool)
        mask[:3] = False
        np.savez(tmp_path / f"{number}.npz", depth=np.where(mask, depth, 0), mask=mask)
        Image.fromarray((40 * depth).astype(np.uint8)).convert("RGB").save(
            tmp_path / f"{number}.png"
        )
        name = {"name": str(number), "rgb": f"{number}.png", "npz": f"{number}.npz"}
        more = {"scene_id": scene, "scene": "indoor" if number < 2 else "outdoor"}
        entries.append(name | more | {"sparse": number == 2})
    (tmp_path / "index.json").write_text(json.dumps({"pairs": entries}))
    return tmp_path


def test_truth_beats_ramp_beats_flat(real_check, kit):
    members = list(real_check.pairs(kit))
    assert not members[0].valid_HW[0].any() and members[0].is_dense and not members[2].is_dense
    by_brightness = {m.rgb_HW3.tobytes(): np.log1p(m.depth_HW) for m in members}
    rows = {
        "truth": lambda rgb: real_check.Guess(by_brightness[rgb.tobytes()], np.ones(rgb.shape[:2])),
        real_check.RAMP: lambda rgb: real_check.Guess(real_check.row_ramp(rgb.shape[:2])),
        real_check.FLAT: lambda rgb: real_check.Guess(real_check.flat_map(rgb.shape[:2])),
    }
    scores, tiles = real_check.evaluate(members, rows, shown="truth")
    assert len(tiles) == 4 * 3 and np.array_equal(tiles[1][5:], tiles[2][5:])
    means = {name: real_check.mean_over_scenes(members, lines) for name, lines in scores.items()}
    assert means["truth"]["abs_rel"] < 1e-6 and means["truth"]["boundary_f1"] > 0.999
    assert means["truth"]["flying"] == 0 and means["truth"]["worse_than_ramp"] == 0
    assert means[real_check.RAMP]["abs_rel"] < means[real_check.FLAT]["abs_rel"]
    assert means[real_check.FLAT]["worse_than_ramp"] == 1
    assert np.isnan(scores["truth"][2]["boundary_f1"])


def test_scenes_count_alike_and_places_are_told_apart(real_check, kit):
    members = list(real_check.pairs(kit))
    lines = [dict.fromkeys(real_check.NUMBERS, v) for v in (1.0, 3.0, 10.0)]
    lines[2]["boundary_f1"] = float("nan")
    mean = real_check.mean_over_scenes(members, lines)
    assert mean["abs_rel"] == 6.0 and mean["boundary_f1"] == 2.0
    assert real_check.groups(members) == {
        "all, 2 scenes": [0, 1, 2],
        "indoor, 1 scenes": [0, 1],
        "outdoor, 1 scenes": [2],
    }
    assert real_check.without_nan({"a": {"b": float("nan"), "c": 1}}) == {"a": {"b": None, "c": 1}}


def test_what_a_prediction_leaves_out_is_counted(real_check, kit):
    member = next(real_check.pairs(kit))
    hole = np.log1p(member.depth_HW)
    hole[24:] = np.nan
    scores, metres, _ = real_check.judge(member, lambda _: real_check.Guess(hole))
    assert scores["missing"] == pytest.approx(24 / 45) and np.isnan(metres[40, 0])
