"""The weights that ship: present, small, named on their cards, and better than no photo at all."""

import json
from fractions import Fraction

import numpy as np
import pytest
from skimage.data import stereo_motorcycle

from nearfar.eval.metrics.image import aligned_scores, as_log_depth, flat_map
from nearfar.io.video.clip import ClipFrame
from nearfar.pipeline.config import PredictConfig
from nearfar.pipeline.load import load
from nearfar.pipeline.video.config import VideoConfig
from nearfar.pipeline.video.load import load_video
from nearfar.weights.registry import EMBEDDED_FOLDER, ENTRIES, find
from nearfar.weights.safe import sha256_of

EMBEDDED = [name for name, entry in ENTRIES.items() if entry.embedded]
FAMILIES = ("depthart-tiny", "var-depth-tiny", "dar-tiny")
VIDEO = ("ppvd-tiny", "tiny-video-encoder")


@pytest.fixture(scope="module")
def motorcycle():
    photo, _, disparity = stereo_motorcycle()
    known = np.isfinite(disparity)
    depth = 994.978 * 0.193001 / (np.where(known, disparity, 1.0) + 31.086)
    return photo, depth, known


@pytest.mark.parametrize("name", EMBEDDED)
def test_files_are_those_of_their_cards(name):
    path = EMBEDDED_FOLDER / ENTRIES[name].file
    card = json.loads(path.with_suffix(".json").read_text())
    assert sha256_of(path) == card["sha256"] == find(name).sha256
    assert card["licence"] == "Apache-2.0"
    assert card["steps"] > 0 and card["samples"] > 0 and card["seconds"] > 0
    assert card["recipe"]["data"]["source"] in ("scenes", "clips")
    assert card["machine"] and card["commit"] and card["validation"]


def test_they_are_small():
    assert {"ppd-tiny", "photo-encoder", "tiny-encoder", *VIDEO, *FAMILIES} == set(EMBEDDED)
    sizes = [(EMBEDDED_FOLDER / ENTRIES[name].file).stat().st_size for name in EMBEDDED]
    assert max(sizes) < 25e6 and sum(sizes) < 100e6
    of_video = [(EMBEDDED_FOLDER / ENTRIES[name].file).stat().st_size for name in VIDEO]
    assert sum(of_video) < 30e6


def test_the_default_model_sees_the_motorcycle(motorcycle):
    photo, depth, known = motorcycle
    result = load().predict(photo, fov_x_deg=40.8)
    assert result.model == "ppd-tiny" and result.is_metric and result.metric_reference == "photo"
    assert result.uncertainty is not None
    log_depth = as_log_depth(result.depth, result.kind)
    seen = known & np.isfinite(log_depth)
    assert seen.mean() > 0.8
    ours = aligned_scores(log_depth, depth, seen)
    flat = aligned_scores(flat_map(depth.shape), depth, seen)
    assert ours.abs_rel < 0.6 * flat.abs_rel
    assert ours.delta1 > flat.delta1 + 0.2


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_sees_the_motorcycle(name, motorcycle):
    photo, depth, known = motorcycle
    result = load(name).predict(photo)
    assert result.model == name and result.is_metric
    log_depth = as_log_depth(result.depth, result.kind)
    seen = known & np.isfinite(log_depth)
    ours = aligned_scores(log_depth, depth, seen)
    flat = aligned_scores(flat_map(depth.shape), depth, seen)
    assert ours.abs_rel < 0.8 * flat.abs_rel


def test_the_video_model_sees_the_motorcycle_and_is_steady(motorcycle):
    photo, depth, known = motorcycle
    views = [slice(shift, photo.shape[1] - 24 + shift) for shift in range(0, 24, 8)]
    frames = [
        ClipFrame(index=i, time=Fraction(i), rgb_HW3=np.ascontiguousarray(photo[:, view]))
        for i, view in enumerate(views)
    ]
    model = load_video("ppvd-tiny", device="cpu")
    config = VideoConfig(predict=PredictConfig(metric=False))
    logs = [item.result.depth for item in model.stream(iter(frames), config)]
    for log_depth, view in zip(logs, views, strict=True):
        seen = known[:, view] & np.isfinite(log_depth)
        ours = aligned_scores(log_depth, depth[:, view], seen)
        flat = aligned_scores(flat_map(log_depth.shape), depth[:, view], seen)
        assert ours.abs_rel < 0.75 * flat.abs_rel
    # the views overlap: what both show has nearly one depth, without a fit of its own
    change = np.abs(logs[0][:, 16:] - logs[2][:, :-16])
    assert np.nanmean(change) < 0.25 * np.nanstd(logs[0])


def test_a_seed_is_a_result(motorcycle):
    photo = motorcycle[0][::2, ::2]
    model = load()
    first, again = (model.predict(photo, seed=7).depth for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, model.predict(photo, seed=8).depth, equal_nan=True)


def test_hypotheses_disagree_somewhere_and_say_so(motorcycle):
    result = load().predict(motorcycle[0], ensemble_size=3)
    assert result.uncertainty is not None
    assert np.nanmax(result.uncertainty) > 0
