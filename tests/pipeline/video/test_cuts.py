from pathlib import Path

import numpy as np
import pytest

from nearfar.pipeline.video.cuts import CutMemory, find_cut

GOLDEN = Path(__file__).parents[2] / "golden" / "video" / "rendered_paths.npz"


def cuts_of(frames, memory=None):
    memory, found = memory or CutMemory(), []
    for number, frame in enumerate(frames):
        finding = find_cut(frame, memory)
        memory = finding.memory
        if finding.is_cut:
            found.append(number)
    return found


@pytest.fixture(scope="module")
def rendered():
    """Three rendered camera paths of five frames: [3,5,36,64,3] (see tests/golden/README.md)."""
    with np.load(GOLDEN) as file:
        return file["frames"]


def test_cuts_between_rendered_scenes_are_found_and_no_others(rendered):
    assert cuts_of(rendered.reshape(-1, 36, 64, 3)) == [5, 10]
    jumps = [rendered[i, j] for j in range(4) for i in range(3)]  # every frame is a cut
    assert cuts_of(jumps) == list(range(1, 12))


def test_fast_camera_is_no_cut(rendered):
    assert cuts_of(path[i] for path in rendered[:1] for i in (0, 4, 0, 4)) == []


def test_light_flash_fade_and_noise_are_no_cuts(rendered):
    still = rendered[1, 0].astype(float)
    noise = np.random.default_rng(0).normal(0, 12, (6, *still.shape))
    lights = [still * k for k in (1, 0.5, 0.9, 0.3, 0.1, 0.03, 0, 0, 0.03, 0.1, 0.3, 1)]
    flash = [still, still * 1.5 + 10, still]
    for frames in (still + noise, lights, flash):
        assert cuts_of(np.clip(np.stack(list(frames)), 0, 255).astype(np.uint8)) == []


def test_a_wild_pan_is_no_cut(picture_frames):
    """Half of the picture is new in every frame: large scores, but the usual ones."""
    wide = np.concatenate([picture_frames(1, size_hw=(48, 640), seed=3)[0]], axis=1)
    pan = [wide[:, i : i + 64] for i in range(0, 560, 9)]
    assert cuts_of(pan) == []


def test_all_sizes_are_compared_alike(rendered):
    big = [np.repeat(np.repeat(f, 7, 0), 5, 1) for f in (rendered[0, 0], rendered[0, 1])]
    assert cuts_of([*big, np.repeat(np.repeat(rendered[2, 0], 7, 0), 5, 1)]) == [2]
    assert cuts_of([rendered[0, 0][:9, :11]] * 3) == []  # smaller than the cells


def test_memory_carries_over(rendered):
    first = find_cut(rendered[0, 0], CutMemory()).memory
    assert find_cut(rendered[1, 0], first).is_cut
    assert not find_cut(rendered[1, 0], CutMemory()).is_cut
