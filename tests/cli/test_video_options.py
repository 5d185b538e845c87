from fractions import Fraction

import pytest

from nearfar.cli.video_options import VideoOptions
from nearfar.errors import ConfigError
from nearfar.pipeline.config import PredictConfig
from nearfar.pipeline.video.config import VideoConfig


def test_defaults_are_those_of_the_pipeline():
    assert VideoOptions(clips=["a.mp4"]).config() == VideoConfig(predict=PredictConfig())


def test_options_reach_the_settings():
    options = VideoOptions(clips=[], seed=3, no_metric=True, no_cuts=True, max_frames=9, fov_x=61.0)
    assert options.config() == VideoConfig(
        predict=PredictConfig(seed=3, metric=False, fov_x_deg=61.0), cuts=False, max_frames=9
    )


@pytest.mark.parametrize(
    "fps, rate",
    [(None, None), (25, Fraction(25)), (12.5, Fraction(25, 2)), (29.97, Fraction(30000, 1001))],
)
def test_rates_are_exact(fps, rate):
    assert VideoOptions(clips=[], fps=fps).rate() == rate


def test_impossible_rates_are_refused():
    with pytest.raises(ConfigError, match="--fps: 0 is not within"):
        VideoOptions(clips=[], fps=0).rate()
