import logging

import numpy as np
import pytest
from PIL import Image

from nearfar.errors import ConfigError, InputError
from nearfar.io.depth.png16 import read, write, write_uncertainty
from nearfar.result import DepthKind, DepthResult


@pytest.mark.parametrize("seed", range(3))
def test_metric_is_millimetres_for_any_reader(result_of, tmp_path, seed):
    result = result_of(seed=seed)
    write(result, tmp_path / "a_depth.png")
    codes = np.array(Image.open(tmp_path / "a_depth.png"))
    assert codes.dtype == np.uint16
    assert np.array_equal(codes > 0, result.valid)
    expected = np.rint(result.depth[result.valid].astype(np.float64) * 1000)
    assert np.array_equal(codes[result.valid], expected)
    back = read(tmp_path / "a_depth.png")
    assert back.kind is DepthKind.METRIC and np.array_equal(back.valid, result.valid)
    np.testing.assert_allclose(back.depth, result.depth, atol=0.000505)
    assert back.model == "ppd-tiny" and back.seed == 2**40 + 1 and back.fov_x_deg == 61.5
    assert np.array_equal(back.intrinsics, result.intrinsics)
    assert back.licence == result.licence


@pytest.mark.parametrize("kind", ["scale_invariant", "affine_depth", "affine_log_depth"])
@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (3e5, 3.1e5), (2.0, 2.0)])
def test_relative_kinds_are_normalized_and_come_back(result_of, tmp_path, kind, low, high):
    result = result_of(kind, low=low, high=high)
    write(result, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        known = result.depth[result.valid]
        assert float(image.text["near"]) == known.min()
        assert float(image.text["far"]) == known.max()
        assert image.text["kind"] == kind and image.text["model"] == "ppd-tiny"
        codes = np.array(image)
    assert codes.max() == (65535 if high > low else 1) and codes[result.valid].min() == 1
    back = read(tmp_path / "a.png")
    assert back.kind == kind and np.array_equal(back.valid, result.valid)
    step = (high - low) / 65534
    np.testing.assert_allclose(back.depth, result.depth, atol=0.51 * step + 1e-7 * abs(high))


def test_limits_of_sixteen_bits(tmp_path, caplog):
    depth = np.array([[0.0001, 65.535, 65.5354, 65.536, 1e9, np.nan, -1, 0]], np.float32)
    result = DepthResult(depth=depth, kind=DepthKind.METRIC, valid=np.isfinite(depth))
    with caplog.at_level(logging.WARNING):
        write(result, tmp_path / "a.png")
    assert np.array(Image.open(tmp_path / "a.png")).tolist() == [[1, 65535, 65535, 0, 0, 0, 0, 0]]
    assert "2 pixels beyond" in caplog.text


@pytest.mark.parametrize("kind", list(DepthKind))
def test_map_without_any_valid_pixel(tmp_path, kind):
    depth = np.full((2, 3), np.nan, np.float32)
    write(DepthResult(depth=depth, kind=kind, valid=depth > 0), tmp_path / "a.png")
    assert not read(tmp_path / "a.png").valid.any()


def test_foreign_or_damaged_png(result_of, tmp_path):
    Image.fromarray(np.ones((3, 3), np.uint16)).save(tmp_path / "foreign.png")
    with pytest.raises(InputError, match="does not state unit and kind"):
        read(tmp_path / "foreign.png")
    write(result_of(), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.png"):
        read(tmp_path / "cut.png")
    (tmp_path / "odd.png").write_bytes(content.replace(b'"kind": "metric"', b'"kind": "metrik"'))
    with pytest.raises(InputError, match=r"odd\.png"):
        read(tmp_path / "odd.png")


def test_maps_of_a_series_share_given_ends(result_of, tmp_path):
    result = result_of("affine_log_depth")
    path = tmp_path / "a_affine_log_depth.png"
    write(result, path, limits=(10.0, 40.0))
    text = Image.open(path).text
    assert (float(text["near"]), float(text["far"])) == (10.0, 40.0)
    expected = np.clip(result.depth[result.valid], 10, 40)
    assert np.abs(read(path).depth[result.valid] - expected).max() <= 0.51 * 30 / 65534


def test_the_uncertainty_has_a_file_of_its_own(tmp_path):
    spread = np.array([[0.0001, 0.25, 90.0, np.nan]], np.float32)
    depth = np.array([[1, 2, 3, np.nan]], np.float32)
    given = {"depth": depth, "valid": np.isfinite(depth), "uncertainty": spread, "model": "m"}
    write_uncertainty(DepthResult(kind=DepthKind.METRIC, **given), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert np.array(image).tolist() == [[1, 250, 65535, 0]]  # millimetres
        assert image.text["unit"] == "millimetre" and "deviation" in image.text["content"]
    with pytest.raises(InputError, match="does not state unit and kind"):
        read(tmp_path / "a.png")  # never taken for depth
    write_uncertainty(DepthResult(kind=DepthKind.AFFINE_DEPTH, **given), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        codes, far = np.array(image).astype(np.float64), float(image.text["far"])
    np.testing.assert_allclose((codes[0, :3] - 1) / 65534 * far, spread[0, :3], atol=1e-3)
    with pytest.raises(ConfigError, match="m gives none"):
        write_uncertainty(
            DepthResult(kind=DepthKind.METRIC, **given | {"uncertainty": None}), tmp_path / "c.png"
        )
    assert not (tmp_path / "c.png").exists()
