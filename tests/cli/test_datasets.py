import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # for the mini trees

import mini_c
import mini_d1

from nearfar.cli import run
from nearfar.data.catalog import DATASETS


def test_list_shows_every_dataset_with_its_licence(capsys):
    assert run(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in DATASETS)
    assert run(["data", "list", "--json"]) == 0
    facts = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(facts) == set(DATASETS)
    assert facts["diode"]["commercial"] is True and facts["nyu"]["counts"]["test"] == 654


def test_list_is_a_line_a_dataset_and_fits_80_columns(capsys):
    assert run(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(DATASETS) + 2 and max(map(len, lines)) <= 80
    nyu = next(line for line in lines if line.startswith("nyu "))
    assert nyu.split()[1:3] == ["unclear", "indoor"] and nyu.endswith("test 654, train 795")
    kitti = next(line for line in lines if line.startswith("kitti "))
    assert " no " in kitti and "eigen-test 652" in kitti and kitti.endswith(" ...")


def test_list_tells_all_of_one_dataset(capsys):
    assert run(["data", "list", "kitti"]) == 0
    printed = capsys.readouterr().out
    for words in ("CC BY-NC-SA 3.0", "selection 1000", "about 175 GB", "1e-05 to 80 m"):
        assert words in printed
    assert run(["data", "list", "--long"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{card.name}: {card.title}" in printed for card in DATASETS.values())
    assert "gt=raw|filled" in printed and "sequences=TEXT" in printed
    assert run(["data", "list", "kiti"]) == 2
    assert "Did you mean kitti?" in capsys.readouterr().err
    assert run(["data", "list", "kitti", "--commercial-only"]) == 2


def test_list_of_commercial_ones_leaves_out_unclear_licences(capsys):
    assert run(["data", "list", "--json", "--commercial-only"]) == 0
    names = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert "diode" in names and not names & {"nyu", "kitti", "sunrgbd"}


def test_check_tells_dataset_count_list_ranges_and_writes_a_sheet(tmp_path, capsys):
    mini_c.write_diode(tmp_path / "diode")
    sheet = tmp_path / "sheet.png"
    assert run(["data", "check", str(tmp_path / "diode"), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "diode: DIODE validation",
        "MIT; commercial use: yes",
        "val: 2 of 771 official samples",
        "custom",
        "read         2 of 2 samples",
        "50 % 5.5",
        "without depth",
        "warning      2 samples, the official split val has 771",
    ):
        assert words in printed, words
    assert Image.open(sheet).size[0] > 8


def test_check_names_the_broken_sample_and_exits_with_one(tmp_path, capsys):
    mini_d1.write_stems(tmp_path)
    (tmp_path / "depth" / "2.npy").write_bytes(b"no array")
    assert run(["data", "check", str(tmp_path), "--dataset", "folder"]) == 1
    captured = capsys.readouterr()
    assert "2.npy" in captured.err and "read         2 of 3 samples" in captured.out


def test_options_of_the_reader_are_given(tmp_path, capsys):
    mini_c.write_nyu_marigold(tmp_path)
    arguments = ["data", "check", str(tmp_path), "--dataset", "nyu", "--option"]
    assert run([*arguments, "gt=filled"]) == 0
    assert "2.4" in capsys.readouterr().out
    assert run([*arguments, "gt=other"]) == 2
    assert run([*arguments, "gt"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_commercial_only_refuses_what_is_unclear(tmp_path, capsys):
    mini_c.write_nyu_marigold(tmp_path)
    assert run(["data", "check", str(tmp_path), "--commercial-only"]) == 2
    assert "commercial use: unclear" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "niu"], "Did you mean"),
        (["--dataset", "diode", "--split", "x"], "no split"),
        (["--option", "a=b"], "needs --dataset"),
        ([], "fits no layout"),
        (["--list", "nowhere.txt"], "nowhere.txt: no such folder or file"),
    ],
)
def test_misuse_is_said_in_one_line(tmp_path, capsys, arguments, words):
    assert run(["data", "check", str(tmp_path), *arguments]) != 0
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_rendered_scenes_need_no_folder(capsys):
    options = ["--option", "count=1", "--option", "height=16", "--option", "width=24"]
    assert run(["data", "check", ".", "--dataset", "rendered", *options]) == 0
    assert "test: 1 samples" in capsys.readouterr().out
