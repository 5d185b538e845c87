import json

import numpy as np
import pytest
from mini_run import make_result

from nearfar.errors import DataError
from nearfar.eval.results import (
    EvalResult,
    Preview,
    load_preview,
    load_result,
    preview_path,
    save_preview,
)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"metrics": {"abs_rel": 3}}, "no result of an evaluation"),
        ({"metrics": {"abs_rel": {"mean": 1}}}, "no result of an evaluation"),
        ({"subsets": None}, "no result of an evaluation"),
        ({"protocol": {}}, "protocol lacks hash, id, version"),
        ({"schema": 9}, "schema is 9"),
        ({"model": None, "more": 1}, "keys are wrong"),
    ],
)
def test_another_json_is_refused_in_one_line(change, finding):
    table = json.loads(make_result().to_json()) | change
    with pytest.raises(DataError, match=finding):
        EvalResult.from_json(json.dumps(table))


def test_json_round_trip_keeps_everything(tmp_path):
    one = make_result(remarks=("custom",), comparable=False, curves={"risk": [1.0, 2.0]})
    path = one.save(tmp_path)
    assert load_result(path) == one == load_result(tmp_path)
    assert one.title == "synthetic@1#01234567"


def test_not_a_number_becomes_null():
    one = make_result(degenerate={"a": float("nan"), "b": np.float32(2)})
    table = json.loads(one.to_json())
    assert table["degenerate"] == {"a": None, "b": 2.0}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError):
        load_result(tmp_path)


def test_unknown_keys_are_refused():
    table = json.loads(make_result().to_json()) | {"more": 1}
    with pytest.raises(DataError, match="more"):
        EvalResult.from_json(json.dumps(table))


def test_previews_come_back_and_may_be_missing(tmp_path):
    path = preview_path(tmp_path, 7)
    assert path.name == "000007.npz" and load_preview(path) is None
    path.parent.mkdir()
    one = Preview(
        rgb=np.zeros((2, 3, 3), np.uint8),
        truth=np.ones((2, 3), np.float16),
        prediction=np.full((2, 3), np.nan, np.float16),
        valid=np.ones((2, 3), bool),
        risk_101=np.linspace(0, 1, 101),
    )
    save_preview(path, one)
    back = load_preview(path)
    assert back.uncertainty is None and back.risk_101.shape == (101,)
    np.testing.assert_array_equal(back.prediction, one.prediction)
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match="no preview"):
        load_preview(path)
