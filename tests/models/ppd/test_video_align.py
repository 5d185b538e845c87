"""Stitching equals the golden clips; what a singular fit does; float64 where float32 fails."""

import pytest
import torch

from nearfar.models.ppd.video_align import fit_scale_shift, stitch


@pytest.mark.parametrize("case", ["align", "rand"])
def test_stitched_windows_equal_golden(golden, case):
    data, keys, parts = golden("video_align"), None, []
    for number in range(3):
        found = stitch(data[f"{case}.win{number}"][:, 0], keys, key_frames=(0, 8, 15))
        parts.append(found.depth_Thw[0 if keys is None else 3 :])
        keys = found.key_depth_Thw
    torch.testing.assert_close(torch.cat(parts), data[f"{case}.out"], atol=2e-6, rtol=0)


def test_fit_equals_golden(golden):
    data = golden("video_align")
    found = fit_scale_shift(data["ss.pred"], data["ss.target"], usable=data["ss.mask"])
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), data["ss.scale_shift"], atol=1e-6, rtol=0
    )


def test_singular_fits_leave_the_window_alone():
    flat = torch.full((3, 4, 5), 0.7)
    assert fit_scale_shift(flat, torch.rand(flat.shape, generator=torch.Generator())) == (1, 0)
    assert fit_scale_shift(flat[:0], flat[:0]) == (1, 0)


def test_sums_are_exact_where_float32_is_not():
    generator = torch.Generator().manual_seed(0)
    depth = 300 + 0.01 * torch.rand(3, 64, 64, generator=generator)
    scale, shift = fit_scale_shift(depth, 2 * depth.double() - 1)
    assert abs(scale - 2) < 1e-4 and abs(shift + 1) < 0.03
    low = depth.flatten()
    low_determinant = (low * low).sum() * low.numel() - low.sum() ** 2
    assert abs(low_determinant / (low.double().var() * low.numel() ** 2) - 1) > 0.5


def test_first_frame_stays_the_anchor():
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(16, 6, 8, generator=generator)
    first = stitch(scene, None, key_frames=(0, 8, 15))
    assert (first.scale, first.shift) == (1, 0)
    second = torch.cat([scene[[0, 8, 15]], torch.rand(13, 6, 8, generator=generator)])
    found = stitch(0.5 * second + 3, first.key_depth_Thw, key_frames=(0, 8, 15))
    assert abs(found.scale - 2) < 1e-4 and abs(found.shift + 6) < 1e-3
    torch.testing.assert_close(found.depth_Thw, second, atol=1e-5, rtol=0)
    assert torch.equal(found.key_depth_Thw[0], scene[0])
    assert torch.equal(found.key_depth_Thw[1], found.depth_Thw[8])
