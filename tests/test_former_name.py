"""Files that versions before the new name wrote, kept in tests/golden/former, are still read."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.data.benchmarks.depth_files import stored_depth
from nearfar.eval.protocol import load_protocol
from nearfar.former_name import FORMER_NAME, former, under_either_name
from nearfar.io.depth import exr, npz, png16
from nearfar.io.video.depth_clip import read_depth_clip
from nearfar.weights.published import read_weights
from nearfar.weights.safe import read_metadata

FILES = Path(__file__).parent / "golden" / "former"


def written():
    depth = (np.random.default_rng(0).random((6, 8)) * 5 + 1).astype(np.float32)
    depth[0, 0] = np.nan
    return depth


@pytest.mark.parametrize(
    ("read", "name", "tolerance"),
    [(npz.read, "depth.npz", 0.0), (exr.read, "depth.exr", 0.0), (png16.read, "depth.png", 5.1e-4)],
)
def test_a_depth_map_of_the_former_name_is_read(read, name, tolerance):
    path = FILES / name
    if name != "depth.npz":  # whose entries never had the name
        assert f"{FORMER_NAME}".encode() in path.read_bytes()
    result = read(path)
    assert (result.kind, result.model, result.seed) == ("metric", "ppd-tiny", 3)
    np.testing.assert_allclose(result.depth, written(), atol=tolerance, rtol=0)


def test_a_png_of_the_former_name_is_known_as_ours_in_datasets():
    stored = stored_depth((FILES / "depth.png").read_bytes(), "depth.png", "here")
    assert stored.units_per_metre == 1000


def test_a_depth_video_of_the_former_name_is_read():
    (frame,) = read_depth_clip(FILES / "depth.mkv")
    assert (frame.result.kind, frame.result.model) == ("metric", "ppd-tiny")
    np.testing.assert_allclose(frame.result.depth, written(), atol=1e-4)


def test_weights_of_the_former_name_are_read():
    path = FILES / "encoder.safetensors"
    assert f"{FORMER_NAME}_format" in read_metadata(path)
    assert read_weights(path).family == "tiny_encoder"


def test_protocols_keep_the_hash_they_were_locked_with():
    capital = FORMER_NAME.capitalize()
    assert former("Nearfar, nearfar eval") == f"{capital}, {FORMER_NAME} eval"
    protocol = load_protocol("synthetic")
    assert protocol.table["reference"].startswith("Nearfar")
    locked = (Path(__file__).parent / "eval" / "protocol_hashes.txt").read_text()
    assert protocol.hash in locked


def test_today_s_name_comes_first():
    assert under_either_name({"nearfar": 1, FORMER_NAME: 2}, "nearfar") == 1
    assert under_either_name({FORMER_NAME: 2}, "nearfar") == 2
    assert under_either_name({}, "nearfar") is None
