from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.geometry.masked_resize import masked_nearest_source

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "moge_align.npz"))
CASES = sorted(name[4:-2] for name in GOLDEN if name.startswith("mnr.") and name.endswith(".i"))


@pytest.mark.parametrize("case", CASES)
def test_indices_are_moges(case):
    height, width = (int(side) for side in case.split("_")[1].split("x"))
    source = masked_nearest_source(GOLDEN[f"mnr.{case}.mask"], (height, width))
    assert np.array_equal(source.found_hw, GOLDEN[f"mnr.{case}.out_mask"])
    assert np.array_equal(source.row_hw, GOLDEN[f"mnr.{case}.i"])
    assert np.array_equal(source.column_hw, GOLDEN[f"mnr.{case}.j"])


def test_every_case_of_the_golden_file_is_there():
    assert len(CASES) == 5 and "480x640_64x64" in CASES


def test_places_are_those_of_torchs_float32_steps():
    """48 of 120: numpy's float64 steps, rounded afterwards, put some windows one pixel off."""
    center = torch.linspace(0.5 / 48, 1 - 0.5 / 48, 48).numpy() * np.float32(120)
    first = np.rint(center - np.float32(1.25)).astype(int)
    for pixel in range(120):  # the only valid one: seen by the windows of 3 that hold it
        valid = (np.arange(120) == pixel)[None]
        found = masked_nearest_source(valid, (1, 48)).found_hw[0]
        assert found.tolist() == [start <= pixel < start + 3 for start in first]


def test_takes_the_nearest_valid_value_and_repeats_when_growing():
    valid = np.ones((4, 4), bool)
    values = np.arange(16).reshape(4, 4)
    assert masked_nearest_source(valid, (4, 4)).take(values).tolist() == list(range(16))
    valid[0, 0] = False
    source = masked_nearest_source(valid, (2, 2))
    assert source.take(values)[0] == 1  # (0,1) and (1,0) are as far; the first wins
    assert masked_nearest_source(valid, (8, 8)).found_hw[2:, 2:].all()
    assert not masked_nearest_source(valid, (8, 8)).found_hw[:2, :2].any()
    assert not masked_nearest_source(~np.ones((4, 4), bool), (2, 2)).found_hw.any()
    with pytest.raises(ConfigError):
        masked_nearest_source(valid, (0, 2))


def test_ties_survive_in_float32_only():
    """Center 34.0 of 60 rows at 375: its one-row window starts at 33.5, half-even 34."""
    source = masked_nearest_source(np.ones((60, 1), bool), (375, 1))
    assert source.row_hw[[212, 237, 262], 0].tolist() == [34, 38, 42]
    source = masked_nearest_source(np.ones((60, 1), bool), (750, 1))
    assert (
        source.row_hw[387, 0] == 30
    )  # float64 would say 31: 387.5 / 750 * 60 - 0.5 = 30.5 + 4e-15
