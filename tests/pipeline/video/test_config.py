import pytest

from nearfar.errors import ConfigError
from nearfar.pipeline.video.config import VideoConfig, parse_range


def test_ranges_are_read():
    assert parse_range("clip").mode == "clip"
    assert parse_range("running").mode == "running"
    assert (parse_range("0.5,8").mode, parse_range("0.5,8").fixed) == ("fixed", (0.5, 8.0))
    assert parse_range("-1,0.25").fixed == (-1.0, 0.25)


@pytest.mark.parametrize("text", ["", "far", "1", "2,1", "1,1", "1,2,3", "1,inf", "nan,2"])
def test_impossible_ranges_are_refused(text):
    with pytest.raises(ConfigError, match="range"):
        parse_range(text)


def test_impossible_lengths_are_refused():
    with pytest.raises(ConfigError, match="max_frames"):
        VideoConfig(max_frames=0)
