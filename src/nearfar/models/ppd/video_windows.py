"""Which frames a window sees (arXiv 2601.05246; spec ppd.md section 11, windows).

Window 0 is the first `window` frames; each later one opens with the key frames of the window before
(as that window saw them, so slot 0 is always the clip's frame 0) and goes on with new ones. What a
clip lacks to a full window is filled by repeating the last frame. Released code: clips of 1 to 3
frames fail; here they are filled like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.models.base import KeyFrames


def window_frames(length: int, *, window: int, key_frames: Sequence[int]) -> list[list[int]]:
    """Frame numbers of every window of a clip of `length` frames."""
    if length < 1:
        raise ConfigError("window_frames", f"a clip of {length} frames")
    windows = [[min(frame, length - 1) for frame in range(window)]]
    done = window
    while done < length:
        opening = [windows[-1][slot] for slot in key_frames]
        new = range(done, done + window - len(opening))
        windows.append([*opening, *(min(frame, length - 1) for frame in new)])
        done = new.stop
    return windows


def fill_window(frames_T3hw: Tensor, references: KeyFrames | None, *, window: int) -> Tensor:
    """The slots of one window [T,3,h,w]: key frames, the new frames, the last one repeated."""
    opening_T3hw = frames_T3hw[:0] if references is None else references.frames_T3hw
    room = window - len(opening_T3hw)
    if not 1 <= len(frames_T3hw) <= room:
        raise ConfigError(
            "predict_window",
            f"{len(frames_T3hw)} new frames",
            f"A window {'without' if references is None else 'with'} references takes 1 to {room}",
        )
    if opening_T3hw.shape[1:] != frames_T3hw.shape[1:]:
        raise ConfigError(
            "predict_window",
            f"frames {list(frames_T3hw.shape[1:])}, references {list(opening_T3hw.shape[1:])}",
            "A clip keeps its size; start anew without references",
        )
    last_T3hw = frames_T3hw[-1:].expand(room - len(frames_T3hw), -1, -1, -1)
    return torch.cat([opening_T3hw, frames_T3hw, last_T3hw])
