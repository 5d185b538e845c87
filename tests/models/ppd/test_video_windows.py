"""Which frames a window sees: the golden lists, short clips, and the same thing streamed."""

import json
from pathlib import Path

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.base import KeyFrames
from nearfar.models.ppd.video_windows import fill_window, window_frames

GOLDEN = Path(__file__).parents[2] / "golden" / "ppd" / "video_windows.json"
PUBLISHED = {"window": 16, "key_frames": (0, 8, 15)}


@pytest.mark.parametrize("length", [4, 15, 16, 17, 28, 29, 30, 42, 43, 55])
def test_windows_equal_golden(length):
    golden = json.loads(GOLDEN.read_text())[str(length)]
    assert golden["n_out"] == length
    assert window_frames(length, **PUBLISHED) == golden["windows"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_clips_on_which_the_release_fails(length):
    (only,) = window_frames(length, **PUBLISHED)
    assert only == [*range(length), *[length - 1] * (16 - length)]
    with pytest.raises(ConfigError, match="0 frames"):
        window_frames(0, **PUBLISHED)


@pytest.mark.parametrize("length", [1, 5, 16, 17, 43])
def test_filled_windows_are_the_listed_frames(length):
    clip = torch.arange(length).float()[:, None, None, None].expand(-1, 3, 2, 2)
    references, done = None, 0
    for listed in window_frames(length, **PUBLISHED):
        count = 16 if references is None else 13
        slots = fill_window(clip[done : done + count], references, window=16)
        assert slots[:, 0, 0, 0].tolist() == listed
        references = KeyFrames(slots[[0, 8, 15]], slots[[0, 8, 15], 0])
        done += count


def test_misfits_are_refused():
    clip = torch.zeros(16, 3, 2, 2)
    references = KeyFrames(clip[:3], clip[:3, 0])
    with pytest.raises(ConfigError, match="takes 1 to 13"):
        fill_window(clip, references, window=16)
    with pytest.raises(ConfigError, match="0 new frames"):
        fill_window(clip[:0], None, window=16)
    with pytest.raises(ConfigError, match="keeps its size"):
        fill_window(torch.zeros(2, 3, 2, 4), references, window=16)
