import pickle
import tomllib
from pathlib import Path

import numpy as np
import pytest

from nearfar.data.benchmarks.rendered import (
    FIRST_VALIDATION_SEED,
    HELD_OUT_SEED,
    open_rendered,
)
from nearfar.data.catalog import find_dataset, open_dataset
from nearfar.data.record import DepthRecord
from nearfar.data.scenes.options import SCENES_VERSION
from nearfar.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"count": 3, "height": 24, "width": 32}


@pytest.fixture(scope="module")
def record() -> DepthRecord:
    return open_rendered(options=SMALL).record(1)


def test_opening_names_the_samples_without_drawing():
    data = open_rendered(None, split="test")
    assert len(data.sample_ids) == 64 == len(set(data.sample_ids))
    assert data.sample_ids[:2] == ["rendered/0000/0", "rendered/0001/0"]
    assert (data.height, data.width) == (192, 256)


def test_catalog_opens_it_without_a_folder():
    data = open_dataset("rendered", None, options={"count": "3"})
    assert len(data.sample_ids) == 3 and data.width == 256
    assert find_dataset("rendered").allows_commercial_use


def test_record_follows_the_contract_with_an_exact_camera(record):
    assert record.depth_HW.shape == (24, 32) and record.depth_HW.dtype == np.float32
    assert record.rgb_HW3.std() > 5
    assert record.valid_HW.any() and record.depth_HW.max() < 80
    assert record.sky_HW is not None and not (record.sky_HW & record.valid_HW).any()
    fx, cx, cy = record.intrinsics_33[0, 0], record.intrinsics_33[0, 2], record.intrinsics_33[1, 2]
    assert (cx, cy) == (16, 12) and 10 < fx < 60
    assert np.allclose(record.pose_44[:3, :3] @ record.pose_44[:3, :3].T, np.eye(3), atol=1e-5)
    assert record.notes["place"] in ("indoor", "outdoor")


def test_depth_and_camera_agree_with_the_renderer():
    """Same surface seen at two sizes: pixel centers at +0.5 make 3-D points of one scene agree."""
    small, large = (
        open_rendered(options={"count": 1, "height": side * 3, "width": side * 4}).record(0)
        for side in (8, 24)
    )
    middle = large.depth_HW[1::3, 1::3]  # the center of a small pixel is that of a large one
    both = small.valid_HW & large.valid_HW[1::3, 1::3]
    assert np.median(np.abs(middle / small.depth_HW - 1)[both]) < 1e-4
    assert np.allclose(small.intrinsics_33[:2] * 3, large.intrinsics_33[:2])


def test_scene_is_the_same_in_another_set_and_process(record):
    other = pickle.loads(pickle.dumps(open_rendered(options={**SMALL, "count": "2"}))).record(1)
    assert np.array_equal(other.depth_HW, record.depth_HW)
    assert np.array_equal(other.rgb_HW3, record.rgb_HW3)
    assert not np.array_equal(open_rendered(options=SMALL).record(2).depth_HW, record.depth_HW)


def test_cache_gives_the_same_scene_and_survives_damage(tmp_path, record):
    data = open_rendered(options={**SMALL, "cache": str(tmp_path)})
    first = data.record(1)
    (path,) = tmp_path.rglob("*.npz")
    again = data.record(1)
    path.write_bytes(path.read_bytes()[:500])
    for found in (first, again, data.record(1)):
        assert np.array_equal(found.depth_HW, record.depth_HW)
        assert np.array_equal(found.rgb_HW3, record.rgb_HW3)
        assert found.notes == record.notes
    assert path.stat().st_size > 1000


def test_no_training_or_validation_seed_reaches_the_held_out_ones():
    from nearfar.train import sources
    from nearfar.train.config import DataConfig

    assert sources._VALIDATION_SEED == FIRST_VALIDATION_SEED
    seeds = [DataConfig().seed]
    for path in (ROOT / "recipes").rglob("*.toml"):
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("data", {})
        seeds += [table.get("seed", 0), table.get("options", {}).get("texture_seed", 0)]
    assert max(seeds) < FIRST_VALIDATION_SEED
    assert max(seeds) + FIRST_VALIDATION_SEED < HELD_OUT_SEED


def test_embedded_models_were_not_trained_on_held_out_seeds():
    import json

    def seeds(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from [inner] if key in ("seed", "texture_seed") else seeds(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from seeds(inner)

    cards = list((ROOT / "src/nearfar/weights/embedded").glob("*.json"))
    found = [s for card in cards for s in seeds(json.loads(card.read_text(encoding="utf-8")))]
    assert found and max(found) + FIRST_VALIDATION_SEED < HELD_OUT_SEED


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": {"seed": 0}},
        {"options": {"count": "many"}},
        {"options": {"count": 0}},
        {"options": {"width": 4}},
        {"split": "train"},
        {"list_file": Path("a.txt")},
    ],
)
def test_what_it_cannot_do_is_refused(wrong):
    with pytest.raises(ConfigError):
        open_rendered(**wrong)
    with pytest.raises(IndexError):
        open_rendered(options=SMALL).record(3)


def test_a_number_belongs_to_one_version_of_the_renderer():
    table = tomllib.loads(
        (ROOT / "src/nearfar/eval/protocols/synthetic.toml").read_text(encoding="utf-8")
    )
    assert table["dataset"]["options"]["scenes"] == str(SCENES_VERSION), "raise the protocol too"
    assert len(open_dataset("rendered", None, options={"scenes": str(SCENES_VERSION)}).sample_ids)
    with pytest.raises(ConfigError, match=rf"version 1 .* draws version {SCENES_VERSION}"):
        open_rendered(options={"scenes": "1"})
