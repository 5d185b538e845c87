"""Network sizes equal the golden table; resizing equals OpenCV's (golden, made with 5.0.0)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.geometry.resize import network_size, photo_to_network, resize

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd"
OPENCV = load_file(GOLDEN / "resize_opencv.safetensors")


def test_network_sizes_equal_golden():
    table = json.loads((GOLDEN / "resize_table.json").read_text())
    assert len(table) == 14
    for text, expected in table.items():
        height, width = map(int, text.split("x"))
        assert list(network_size(height, width, area=1024 * 768)) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 100_000), (100_000, 1), (20_000, 20_000), (7, 3000)])
@pytest.mark.parametrize("multiple", [16, 32])
def test_network_sizes_stay_bounded(size, multiple):
    h, w = network_size(*size, area=480 * 640, multiple=multiple)
    assert h % multiple == w % multiple == 0 and min(h, w) >= multiple
    assert h * w <= 2 * 480 * 640


def test_impossible_size():
    with pytest.raises(ConfigError, match="0x5"):
        network_size(0, 5, area=100)


@pytest.mark.parametrize("key", sorted(k for k in OPENCV if k.startswith("out.")))
def test_resize_equals_opencv(key):
    _, method, source, size = key.split(".")
    height, width = map(int, size.split("x"))
    resized = resize(OPENCV[f"in.{source}"], (height, width), method=method)
    torch.testing.assert_close(resized, OPENCV[key], atol=1e-6, rtol=0)


def test_golden_covers_every_method_and_direction():
    cases = {tuple(k.split(".")[1:]) for k in OPENCV if k.startswith("out.")}
    assert {method for method, *_ in cases} == {"nearest", "bilinear", "bicubic", "area"}
    assert len({rest[-1] for rest in cases}) >= 4


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_equals_torchs_interpolation(method):
    x = torch.rand(2, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    for size in [(7, 30), (29, 5)]:
        twin = F.interpolate(x, size, mode=method, align_corners=False)
        torch.testing.assert_close(resize(x, size, method=method), twin, atol=2e-6, rtol=0)


def test_area_is_the_overlap_matrix():
    x = torch.rand(10, 7, generator=torch.Generator().manual_seed(0))

    def matrix(size_in, size_out):
        ratio = size_in / size_out
        edges = torch.arange(size_out, dtype=torch.float64)[:, None] * ratio
        pixels = torch.arange(size_in, dtype=torch.float64)[None]
        overlap = torch.minimum(pixels + 1, edges + ratio) - torch.maximum(pixels, edges)
        return (overlap.clamp_min(0) / ratio).float()

    twin = matrix(10, 4) @ x @ matrix(7, 3).T
    torch.testing.assert_close(resize(x, (4, 3), method="area"), twin)


def test_nearest_keeps_labels_and_dtype():
    labels = torch.arange(12).view(3, 4) > 5
    resized = resize(labels, (6, 8), method="nearest")
    assert resized.dtype == torch.bool
    assert torch.equal(resized, labels.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_unknown_method():
    with pytest.raises(ConfigError, match="lanczos"):
        resize(torch.zeros(2, 2), (1, 1), method="lanczos")


def test_photo_to_network_shrinks_by_area_and_clamps_what_bicubic_overshoots():
    generator = torch.Generator().manual_seed(0)
    photo = (torch.rand(3, 90, 130, generator=generator) > 0.5).float()
    small = photo_to_network(photo, area=48 * 64, multiple=16)
    assert small.shape == (3, 48, 64)
    torch.testing.assert_close(small, resize(photo, (48, 64), method="area"))
    large = photo_to_network(photo, area=200 * 300, multiple=16)
    assert large.shape == (3, 208, 288)
    assert large.min() == 0 and large.max() == 1
    assert resize(photo, (208, 288), method="bicubic").max() > 1


def test_bicubic_antialias_is_pillows():
    photo = np.random.default_rng(0).integers(64, 192, (60, 90, 3), dtype=np.uint8)
    ours = resize(
        torch.from_numpy(photo).permute(2, 0, 1)[None], (32, 48), method="bicubic_antialias"
    )
    theirs = np.asarray(Image.fromarray(photo).resize((48, 32), Image.Resampling.BICUBIC))
    apart = (ours[0].clamp(0, 255) - torch.from_numpy(theirs.copy()).permute(2, 0, 1)).abs()
    assert apart.max() < 1.5 and apart.mean() < 0.4  # Pillow rounds after each axis
