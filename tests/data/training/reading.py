"""What every reader must do, whatever the dataset; used by the tests of this folder."""

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def opened(name: str, root: Path, **options):
    """The dataset of `split` with other keywords as options of the card."""
    given = {key: options.pop(key) for key in ("split", "list_file") if key in options}
    data = open_dataset(name, root, **given, options=options)
    assert len(set(data.sample_ids)) == len(data.sample_ids)
    assert all(sample_id.startswith(f"{name}/") for sample_id in data.sample_ids)
    return data


def records(name: str, root: Path, **options):
    """All records; each is checked against the rules that hold for every dataset."""
    data = opened(name, root, **options)
    found = [data.record(i) for i in range(len(data.sample_ids))]
    again = pickle.loads(pickle.dumps(data))
    for i, record in enumerate(found):
        assert record.sample_id == data.sample_ids[i]
        assert same(record, again.record(i))
        assert record.sources and record.rgb_HW3.shape == (*record.depth_HW.shape, 3)
        if record.pose_44 is not None:
            turn = record.pose_44[:3, :3]
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(turn) > 0
    return found


def same(a, b) -> bool:
    """Whether two records hold the same bytes (their file names may differ)."""
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if field.name != "sources" and not np.array_equal(np.asarray(one), np.asarray(other)):
            return False
    return True


def invalid_pixels(record) -> list[tuple[int, int]]:
    sky = np.zeros_like(record.valid_HW) if record.sky_HW is None else record.sky_HW
    return [(int(y), int(x)) for y, x in np.argwhere(~record.valid_HW & ~sky)]


def refuses_damage(name: str, root: Path, path: Path, index: int = 0, **options) -> None:
    """A cut, an emptied and a missing file each give one DataError that names it."""
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            opened(name, root, **options).record(index)
        message = str(caught.value)
        assert "\n" not in message
        assert (path.name if content is not None else str(root)) in message, message
    path.write_bytes(whole)
