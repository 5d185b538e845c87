import numpy as np
import OpenEXR
import pytest

from nearfar.errors import InputError
from nearfar.io.depth.exr import read, read_channel, write, write_with_rgb


@pytest.mark.parametrize("kind", ["metric", "affine_log_depth", "scale_invariant"])
@pytest.mark.parametrize("full", [True, False])
def test_all_but_the_photo_comes_back_exactly(result_of, tmp_path, kind, full):
    result = result_of(kind, full=full)
    write(result, tmp_path / "a.exr")
    back = read(tmp_path / "a.exr")
    names = result.keys()
    for name in names:
        was, now = result[name], back[name]
        if name == "image":
            assert now is None
        elif isinstance(was, np.ndarray):
            assert was.dtype == now.dtype
            np.testing.assert_array_equal(was, now)
        else:
            assert was == now, name


def test_other_programs_see_nan_and_infinite_sky(result_of, tmp_path):
    result = result_of()
    write(result, tmp_path / "a.exr")
    with OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        z = file.channels()["Z"].pixels
        assert file.header()["kind"] == "metric"
    assert z.dtype == np.float32 and np.isposinf(z[result.sky]).all()
    assert np.isnan(z[~result.valid & ~result.sky]).all()
    assert np.array_equal(z[result.valid], result.depth[result.valid])


def test_colors_repeat_the_map_with_finite_values(result_of, tmp_path):
    result = result_of()
    write_with_rgb(result, tmp_path / "a.exr")
    with OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels.copy() for name, channel in file.channels().items()}
    expected = np.where(result.valid, result.depth, 0)
    expected[result.sky & ~result.valid] = 65504
    for name in "RGB":
        assert channels[name].dtype == np.float32
        np.testing.assert_array_equal(channels[name], expected)
    back = read(tmp_path / "a.exr")
    np.testing.assert_array_equal(back.depth, result.depth)
    np.testing.assert_array_equal(back.sky, result.sky)


def test_sky_with_a_depth_keeps_it(result_of, tmp_path):
    result = result_of(full=False)
    result = type(result)(
        depth=result.depth, kind=result.kind, valid=result.valid, sky=result.valid.copy()
    )
    write(result, tmp_path / "a.exr")
    back = read(tmp_path / "a.exr")
    np.testing.assert_array_equal(back.depth, result.depth)
    assert np.array_equal(back.sky, result.sky)


def test_channels_of_foreign_files(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)

    def file_of(**channels):
        header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
        OpenEXR.File(header, channels).write(str(tmp_path / "f.exr"))
        return tmp_path / "f.exr"

    assert np.array_equal(read_channel(file_of(Y=values, A=values + 1)), values)
    assert np.array_equal(read_channel(file_of(V=values.astype(np.float16))), values)
    with pytest.raises(InputError, match="no channel Z"):
        read_channel(file_of(R=values, G=values, B=values))
    with pytest.raises(InputError, match="does not state unit and kind"):
        read(file_of(Z=values))


def test_damaged(result_of, tmp_path):
    write(result_of(), tmp_path / "a.exr")
    content = (tmp_path / "a.exr").read_bytes()
    for size in (0, 7, 300, len(content) // 2):
        (tmp_path / "cut.exr").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.exr"):
            read(tmp_path / "cut.exr")
