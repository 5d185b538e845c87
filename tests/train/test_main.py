import subprocess
import sys

import numpy as np
from micro_run import micro_recipe, run

from nearfar.train.__main__ import PlainWatcher, main


def test_misuse_is_exit_2(tmp_path, caplog):
    assert main([str(tmp_path / "none.toml")]) == 2
    assert "no such recipe" in caplog.text


def test_export_and_pictures_as_arrays(tmp_path, caplog):
    run(micro_recipe(tmp_path), watcher=PlainWatcher())
    pictures = np.load(tmp_path / "pictures" / "00000006.npz")
    assert pictures["image"].shape == (4, 16, 24, 3) and pictures["aligned"].shape == (4, 16, 24)
    assert main([str(tmp_path), "--export"]) == 0
    assert (tmp_path / "weights.safetensors").exists()


def test_a_dry_run_is_a_log_line(tmp_path, caplog):
    text = '[model]\nkind = "dar"\n[train]\nsteps = 1\nbatch_size = 1\n[data]\ncrop = [32, 48]\n'
    (tmp_path / "r.toml").write_text(text)
    caplog.set_level("INFO", logger="nearfar.train")
    assert main([str(tmp_path / "r.toml"), "--dry-run", "--gpus", "2"]) == 0
    assert "dar tiny: 6,953,564 weights" in caplog.text and "2 GPUs, DDP" in caplog.text


def test_it_needs_no_command_line_packages():
    code = (
        "import sys; sys.modules.update(typer=None, rich=None, PIL=None); import nearfar.train.loop"
    )
    code += ", nearfar.train.__main__, nearfar.train.targets"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
