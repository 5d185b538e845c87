from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.errors import ConfigError
from nearfar.geometry.depth_curves import (
    CURVES,
    KIND_OF_CURVE,
    curve_space,
    decode_depth,
    decode_metres,
    depth_image,
    encode_depth,
    metres_of_space,
)
from nearfar.result import DepthKind

GOLDEN = Path(__file__).parents[1] / "golden" / "tokenizers" / "depth_curves.safetensors"


def maps(seed=0):
    """Two maps in metres, 1..9 with a 60 m background corner, and a mask with holes."""
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + 8 * torch.rand(2, 24, 32, generator=generator)
    depth[:, :3, :3] = 60.0
    return depth, torch.rand(2, 24, 32, generator=generator) > 0.2


def everywhere(depth):
    return torch.ones_like(depth, dtype=torch.bool)


@pytest.mark.parametrize(
    ("depth", "curve", "name"),
    [
        ("depth", "linear_q98", "linear_q98"),
        ("depth", "linear", "linear"),
        ("depth16", "linear_q98", "linear_q98_16"),
    ],
)
def test_golden_normalizers_on_maps_without_holes(depth, curve, name):
    golden = load_file(GOLDEN)
    depth_BHW = golden[depth][:, 0]
    image = depth_image(depth_BHW, everywhere(depth_BHW), curve=curve)
    torch.testing.assert_close(image, golden[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("curve", CURVES)
def test_metres_come_back_where_nothing_was_clipped(curve):
    depth, valid = maps()
    image, stats = encode_depth(depth, valid, curve=curve)
    assert image.min() >= -1 and image.max() <= 1 and image.shape == (2, 1, 24, 32)
    inside = valid & (image[:, 0].abs() < 1)
    assert inside.sum() > 0.9 * valid.sum()
    metres = decode_metres(image, stats, curve=curve)
    torch.testing.assert_close(metres[inside], depth[inside], atol=0, rtol=2e-4)


@pytest.mark.parametrize("curve", CURVES)
def test_far_is_plus_one_and_unknown_counts_as_far(curve):
    depth, valid = maps()
    image, _ = encode_depth(depth, valid, curve=curve)
    assert (image[:, 0][~valid] == 1).all()
    order = depth[0][valid[0]].argsort()
    assert (image[0, 0][valid[0]][order].diff() >= 0).all()
    changed = torch.where(valid, depth, 1e6)
    torch.testing.assert_close(depth_image(changed, valid, curve=curve), image, atol=0, rtol=0)
    zeros = torch.where(valid, depth, 0.0)
    torch.testing.assert_close(depth_image(zeros, valid, curve=curve), image, atol=0, rtol=0)


@pytest.mark.parametrize("curve", CURVES)
def test_what_a_decoded_map_means(curve):
    """The kind is true: metres follow from the map by the fit that the kind allows."""
    depth, valid = maps()
    image, _ = encode_depth(depth, valid, curve=curve)
    decoded, kind = decode_depth(image, curve=curve)
    assert kind in list(DepthKind) and kind == KIND_OF_CURVE[curve]
    inside = valid[0] & (image[0, 0].abs() < 1)
    x, y = decoded[0][inside].double(), depth[0][inside].double()
    if kind == "affine_log_depth":
        y = y.log1p()
    design = x[:, None] if kind == "scale_invariant" else torch.stack([x, x.new_ones(len(x))], 1)
    fit = design @ torch.linalg.lstsq(design, y[:, None]).solution
    assert (fit[:, 0] - y).abs().max() < 1e-3


@pytest.mark.parametrize("curve", CURVES)
def test_no_depth_flat_depth_and_spaces(curve):
    depth = torch.full((2, 4, 4), 3.0)
    nothing = torch.zeros(2, 4, 4, dtype=torch.bool)
    empty = encode_depth(depth, nothing, curve=curve)
    assert (empty.image_B1HW == 1).all() and torch.isfinite(empty.stats.low_B).all()
    image, stats = encode_depth(depth, ~nothing, curve=curve)
    assert torch.isfinite(image).all()
    torch.testing.assert_close(decode_metres(image, stats, curve=curve), depth, atol=1e-4, rtol=0)
    values = torch.tensor([0.5, 3.0, 70.0])
    there = metres_of_space(curve_space(values, curve=curve), curve=curve)
    torch.testing.assert_close(there, values, atol=0, rtol=1e-5)
    assert torch.isfinite(decode_depth(torch.ones(1, 1, 2, 2), curve=curve).depth_BHW).all()


def test_unknown_curves_are_refused():
    with pytest.raises(ConfigError, match="unknown 'cubic'. Use one of linear_q98"):
        depth_image(*maps(), curve="cubic")
