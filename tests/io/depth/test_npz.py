import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.depth.npz import read, write


@pytest.mark.parametrize("kind", ["metric", "affine_log_depth"])
@pytest.mark.parametrize("full", [True, False])
def test_every_field_comes_back_exactly(result_of, tmp_path, kind, full):
    result = result_of(kind, full=full)
    write(result, tmp_path / "a.npz")
    back = read(tmp_path / "a.npz")
    names = result.keys()
    for name in names:
        was, now = result[name], back[name]
        if isinstance(was, np.ndarray):
            assert was.dtype == now.dtype
            np.testing.assert_array_equal(was, now)
        else:
            assert was == now and type(was) is type(now), name


def test_other_programs_find_plain_keys(result_of, tmp_path):
    write(result_of(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["depth"].dtype == np.float32 and archive["valid"].dtype == bool
        assert str(archive["kind"]) == "metric" and float(archive["fov_x_deg"]) == 61.5


def test_foreign_damaged_and_pickled(result_of, tmp_path):
    np.savez(tmp_path / "foreign.npz", depth=np.ones((2, 2)))
    with pytest.raises(InputError, match="not a nearfar archive"):
        read(tmp_path / "foreign.npz")
    write(result_of(), tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 5):
        (tmp_path / "cut.npz").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.npz"):
            read(tmp_path / "cut.npz")
    np.savez(tmp_path / "evil.npz", metadata=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"evil\.npz"):
        read(tmp_path / "evil.npz")


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("sky", np.zeros((4, 6), np.float32), "holds sky as float32, not bool"),
        ("sky", np.zeros((4, 6), np.complex64), "holds sky as complex64, not bool"),
        ("valid", np.zeros((4, 6), "U3"), "holds valid as <U3"),
        ("image", np.zeros((4, 6, 3), np.float64), "holds image as float64, not uint8"),
        ("metadata", '{"kind": "metric", "model": {"a": 1}}', "its model"),
        ("metadata", '{"kind": "metric", "seed": 1.5}', "its seed"),
        ("metadata", '{"kind": "metric", "fov_x_deg": NaN}', "not a finite number"),
        ("metadata", '{"kind": "metric", "intrinsics": [[1e999]]}', "not a finite number"),
        ("metadata", "[" * 9000, "metadata is damaged"),
        ("metadata", '{"kind": ["metric"]}', "metadata is damaged"),
    ],
)
def test_values_of_the_wrong_type_are_named(tmp_path, name, value, finding):
    fields = {"depth": np.ones((4, 6), np.float32), "valid": np.ones((4, 6), bool)}
    fields |= {"metadata": '{"kind": "metric"}'} | {name: value}
    np.savez(tmp_path / "a.npz", **fields)
    with pytest.raises(InputError, match=finding):
        read(tmp_path / "a.npz")
