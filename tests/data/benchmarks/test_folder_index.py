import json

import numpy as np
import pytest
from mini_d1 import write, write_kit, write_stems

from nearfar.data.benchmarks.folder_index import Defaults, entries_of, rows_of, stem_rows
from nearfar.data.store import open_store
from nearfar.errors import DataError


def entries(text, name="index.csv", **defaults):
    return entries_of(rows_of(text.encode(), name, name), Defaults(**defaults))


def entry_of(**values):
    row = {"rgb": "a.png", "depth": "a.npy"} | values
    return entries(json.dumps(row), "index.jsonl")[0]


def test_both_dialects_of_csv_and_json_lines():
    ours = entries('rgb, depth, unit, mask, intrinsics\na.png, a.png, mm, m.png, "9,8,4.5,3.5"\n')
    spec = entries("rgb,depth,depth_scale,mask,fx,fy,cx,cy\r\na.png,./a.png,1000,m.png,9,8,4,3\r\n")
    lines = entries('\n{"rgb":"a.png","depth":"a.png","depth_scale":1000,"mask":"m.png",'
                    '"K":[9,8,4,3]}\n', "index.jsonl")  # fmt: skip
    for found in (ours, spec, lines):
        assert found[0]._replace(where="", unit="") == ours[0]._replace(where="", unit="")
    assert ours[0].camera == (9, 8, 4.5, 3.5) and ours[0].units_per_metre == 1000
    assert ours[0].files == {"rgb": "a.png", "depth": "a.png", "mask": "m.png"}
    assert (ours[0].where, lines[0].where) == ("index.csv:2", "index.jsonl:2")


def test_cameras_and_poses_in_every_notation():
    for matrix in ([9, 8, 4, 3], [9, 0, 4, 0, 8, 3, 0, 0, 1], [[9, 0, 4], [0, 8, 3], [0, 0, 1]],
                   "9 8 4 3", "[9; 8; 4; 3]"):  # fmt: skip
        assert entry_of(K=matrix).camera == (9, 8, 4.5, 3.5)
        assert entry_of(intrinsics=matrix).camera == (9, 8, 4, 3)
    for center, expected in (("half", 4), ("integer", 4.5)):
        for name in ("K", "intrinsics"):
            row = json.dumps({"rgb": "a.png", "depth": "a.npy", name: [9, 8, 4, 3]})
            assert entries(row, "x.jsonl", center=center)[0].camera[2] == expected
    pose = np.eye(4).tolist()
    assert entry_of(pose=pose).pose == entry_of(pose=" ".join("1000010000100001")).pose
    assert entry_of().camera is None and entry_of().pose is None


def test_ids_and_scenes():
    text = "rgb,depth,scene,frame\nv/a/1.png,d,room,7\nv/a/2.png,d,,\nv/b/1.png,d,,9\nv/3.png,d,,\n"
    found = entries(text)
    assert [e.sample_id for e in found] == ["folder/room/7", "folder/a/2", "folder/b/9", "folder/3"]
    assert [e.scene for e in found] == ["room", "a", "b", "3"]
    assert entry_of(time=1.5, sequence="s", invalid=65535)[-2:] == (1.5, "s")
    assert entry_of(invalid=65535).invalid == 65535


def test_defaults_fill_what_is_not_stated():
    text = "rgb,depth,unit,depth_kind\na.png,d.png,,\nb.png,d.png,cm,scale\n"
    first, second = entries(text, unit="5000", kind="affine")
    assert (first.units_per_metre, first.kind) == (5000, "affine")
    assert (second.units_per_metre, second.kind) == (100, "scale")
    assert entries("rgb,depth\na.png,d.png")[0].units_per_metre is None
    assert entries("rgb,alpha\na.png,m.png")[0].kind == "ordinal"


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (",a.npy,,,,,", "rgb is missing"),
        ("a.png,,,,,,", "depth is missing"),
        ("a.png,a.npy,feet,,,,", "unit 'feet' is unknown"),
        ("a.png,a.npy,0,,,,", "unit '0' is unknown"),
        ("a.png,a.npy,m,10,,,", "fy is missing"),
        ("a.png,a.npy,m,-1,1,1,1", "fx"),
        ("a.png,a.npy,m,x,1,1,1", "is not a number"),
        ("../a.png,a.npy,m,,,,", "rgb '../a.png' leaves the folder"),
        ("a.png,a.npy,m,,,,,,", "has more columns than the first line"),
    ],
)
def test_wrong_lines_are_named_and_the_rest_counts(line, finding, caplog):
    found = entries(f"rgb,depth,unit,fx,fy,cx,cy\n\nok.png,ok.npy,,,,,\n{line}\n")
    assert [entry.photo for entry in found] == ["ok.png"]
    (told,) = caplog.messages
    assert told.startswith("index.csv:4: ") and finding in told and "left out" in told
    with pytest.raises(DataError, match="^index.csv:2: "):
        entries(f"rgb,depth,unit,fx,fy,cx,cy\n{line}\n")


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"unit": "m", "depth_scale": 1}, "has both unit and depth_scale"),
        ({"K": [1, 1, 1, 1], "fx": 1}, "states its camera as K and as fx"),
        ({"K": [1, 1]}, "K '[1, 1]' is not a camera"),
        ({"K": [1, None, 1, 1]}, "is not a number"),
        ({"pose": [1, 2, 3]}, "pose has 3 numbers, not 16"),
        ({"depth_kind": "guess"}, "depth_kind 'guess' is unknown"),
        ({"time": "noon"}, "time 'noon' is not a number"),
        ({"invalid": [1, 2]}, "invalid '[1, 2]' is not one number"),
        ({"dpeth": "a"}, "unknown column 'dpeth'"),
    ],
)
def test_contradictions_are_named(values, finding):
    with pytest.raises(DataError) as error:
        entry_of(**values)
    assert str(error.value).startswith("index.jsonl:1: ") and finding in str(error.value)


def test_lists_that_are_no_lists():
    for text, name, finding in (
        ("rgb,depth\n", "index.csv", "index.csv: lists no samples"),
        ("{\n", "index.jsonl", "index.jsonl:1: is not JSON"),
        ("\n[1]\n", "index.jsonl", "index.jsonl:2: is not a JSON object"),
        ('{"pairs": 3}', "index.json", "index.json: has no list `pairs`"),
        ('{"pairs": [\n{"npz": "a"}]}', "index.json", "index.json: pair 1: has neither"),
        ("rgb,depht\na.png,d\n", "index.csv", "index.csv:1: unknown column 'depht'"),
    ):
        with pytest.raises(DataError) as error:
            entries(text, name)
        assert finding in str(error.value), text


def test_kits(tmp_path):
    told = write_kit(tmp_path)
    content = (tmp_path / "index.json").read_bytes()
    found = entries(content.decode(), "index.json")
    assert [entry.sample_id for entry in found] == told["ids"]
    assert [entry.scene for entry in found] == ["desk", "desk"]
    assert [entry.kind for entry in found] == told["kinds"]
    lines = content.decode().splitlines()
    for entry in found:
        line = int(entry.where.rpartition(":")[2])
        assert f'"name": "{entry.sample_id.rpartition("/")[2]}"' in lines[line - 1]


def test_stems(tmp_path):
    told = write_stems(tmp_path)
    found = entries_of(stem_rows(open_store(tmp_path)), Defaults())
    assert [entry.sample_id for entry in found] == told["ids"]
    assert [entry.scene for entry in found] == told["scenes"]
    write(tmp_path / "depth/2.exr", b"")
    with pytest.raises(DataError, match=r"depth/2\.npy: has the stem of depth/2\.exr"):
        stem_rows(open_store(tmp_path))
    (tmp_path / "depth/2.exr").unlink()
    write(tmp_path / "rgb/2.jpg", b"")
    with pytest.raises(DataError, match=r"rgb/2\.png: has the stem of rgb/2\.jpg"):
        stem_rows(open_store(tmp_path))
    (tmp_path / "rgb/2.jpg").unlink()
    (tmp_path / "depth/10.npy").unlink()
    with pytest.raises(DataError, match=r"rgb/10\.png: there is no depth/10"):
        stem_rows(open_store(tmp_path))


def test_two_lines_of_one_sample(caplog):
    found = entries("rgb,depth\na.png,d\na.jpg,d\nb.png,d\n", "index.csv")
    assert [entry.photo for entry in found] == ["a.png", "b.png"]
    assert "index.csv:3: folder/a is also index.csv:2" in caplog.text
