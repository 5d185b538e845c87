import json

import numpy as np
import pytest
from PIL import Image

from nearfar.cli import run
from nearfar.cli.data import parse_size
from nearfar.data.folder import read_list
from nearfar.errors import ConfigError


def test_render_writes_a_sheet_of_photos_and_depth(tmp_path, capsys):
    sheet = tmp_path / "new" / "sheet.png"
    assert run(["data", "render", "-n", "2", "--sheet", str(sheet), "--size", "32x24"]) == 0
    picture = np.array(Image.open(sheet))
    assert picture.shape == (2 * 24 + 2, 2 * 32 + 2, 3)
    assert picture[:24, :32].std() > 5
    assert "2 scenes" in capsys.readouterr().out


def test_rendered_folder_passes_check_and_is_exact(tmp_path, capsys):
    out = tmp_path / "set"
    arguments = ["data", "render", "-n", "2", "--out", str(out), "--size", "32x24", "--seed", "4"]
    assert run(arguments) == 0
    entries = read_list(out / "list.jsonl")
    assert [e.rgb.name for e in entries] == ["000000.png", "000001.png"]
    assert np.load(out / "000000.npy").shape == (24, 32)
    sheet = tmp_path / "own.png"
    code = run(["data", "check", str(out / "list.jsonl"), "--size", "16x12", "--sheet", str(sheet)])
    printed = capsys.readouterr().out
    assert code == 0 and "2 of 2 lines are valid, 2 with a camera" in printed
    assert sheet.exists()


@pytest.mark.parametrize("name", ["sheet.png", "000001.npy", "000000.png", "list.jsonl"])
def test_what_is_there_is_replaced_only_when_asked(tmp_path, capsys, name):
    own = tmp_path / name
    own.write_text("mine")
    arguments = ["data", "render", "-n", "2", "--size", "8x8", "--out", str(tmp_path)]
    arguments += ["--sheet", str(tmp_path / "sheet.png")]
    assert run(arguments) == 2
    assert "already exists. Use --overwrite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name] and own.read_text() == "mine"
    assert run([*arguments, "--overwrite"]) == 0
    listed = str(tmp_path / "list.jsonl")
    check = ["data", "check", listed, "--sheet", str(tmp_path / "sheet.png"), "--size", "8x8"]
    assert run(check) == 2
    assert run([*check, "--overwrite"]) == 0


def test_render_fills_shards(tmp_path):
    arguments = ["data", "render", "-n", "1", "--shards", str(tmp_path), "--size", "8x8"]
    assert run([*arguments, "--shard-size", "2"]) == 0
    assert len(list(tmp_path.rglob("*.pt"))) == 1


def test_check_lists_broken_lines_and_exits_with_one(tmp_path, capsys):
    Image.new("RGB", (16, 12)).save(tmp_path / "a.png")
    np.save(tmp_path / "d.npy", np.full((12, 16), 2.0, np.float32))
    lines = [{"rgb": "a.png", "depth": "d.npy"}, {"rgb": "gone.png", "depth": "d.npy"}]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert run(["data", "check", str(path), "--size", "16x12"]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 lines are valid" in captured.out and "list.jsonl:2" in captured.err
    assert run(["data", "check", str(tmp_path / "none.csv")]) == 1


@pytest.mark.parametrize("text", ["256", "axb", "4x400", "9999x100"])
def test_impossible_sizes_are_refused(text):
    with pytest.raises(ConfigError):
        parse_size(text)
    assert parse_size("256x192") == (192, 256)


def test_render_needs_something_to_write(capsys):
    assert run(["data", "render"]) == 2
    assert "nothing to write" in capsys.readouterr().err
