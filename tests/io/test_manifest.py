import json
from pathlib import Path

import pytest

from nearfar.errors import OutputError
from nearfar.io.manifest import Manifest, ManifestRecord, read_manifest, settings_hash

SETTINGS = {"steps": 4, "model": "ppd-tiny", "save": ["png16"]}


def record_of(name, *, error=None, outputs=None, sha=None):
    return ManifestRecord(
        input=f"{name}.jpg",
        sha256=f"sha-{name}" if sha is None else sha,
        settings=SETTINGS,
        settings_hash=settings_hash(SETTINGS),
        seconds=1.5,
        peak_memory_mb=800.0,
        outputs=(f"{name}_depth.png",) if outputs is None else outputs,
        error=error,
    )


def test_settings_hash_ignores_order_only():
    assert settings_hash(SETTINGS) == settings_hash(dict(reversed(SETTINGS.items())))
    assert settings_hash(SETTINGS) != settings_hash({**SETTINGS, "steps": 5})
    assert len(settings_hash({"path": Path("x")})) == 16


def test_records_come_back_equal(tmp_path):
    odd = record_of("a\nb \u00e9 \udcff", error="line\u2028two")
    manifest = Manifest(tmp_path / "new")
    manifest.append(record_of("x"))
    manifest.append(odd)
    back = read_manifest(manifest.path)
    assert [r.input for r in back] == ["x.jpg", odd.input]
    assert back[0] == ManifestRecord(
        **{
            **json.loads(
                json.dumps(
                    dict(
                        zip(
                            (
                                "input",
                                "sha256",
                                "settings",
                                "settings_hash",
                                "seconds",
                                "peak_memory_mb",
                                "outputs",
                            ),
                            (
                                "x.jpg",
                                "sha-x",
                                SETTINGS,
                                settings_hash(SETTINGS),
                                1.5,
                                800.0,
                                ["x_depth.png"],
                            ),
                        )
                    )
                )
            ),
            "outputs": ("x_depth.png",),
        }
    )
    assert len(manifest.path.read_bytes().splitlines()) == 2


def test_done_means_same_settings_no_error_outputs_there(tmp_path):
    key = settings_hash(SETTINGS)
    manifest = Manifest(tmp_path)
    manifest.append(record_of("a"))
    manifest.append(record_of("bad", error="bad.jpg: is empty.", outputs=()))
    assert manifest.done("sha-a", key) is None, "its output is missing"
    (tmp_path / "a_depth.png").touch()
    for reader in (manifest, Manifest(tmp_path)):
        assert reader.done("sha-a", key) == record_of("a")
        assert reader.done("sha-a", "other") is None
        assert reader.done("sha-bad", key) is None and reader.done("", key) is None


def test_a_copy_elsewhere_is_not_done(tmp_path):
    key = settings_hash(SETTINGS)
    manifest = Manifest(tmp_path)
    for name in ("a", "sub/copy"):
        (tmp_path / f"{name}_depth.png").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}_depth.png").touch()
    manifest.append(record_of("a"))
    assert manifest.done("sha-a", key, relative=Path("a"))
    assert manifest.done("sha-a", key, relative=Path("sub/copy")) is None
    manifest.append(record_of("sub/copy", sha="sha-a"))
    assert manifest.done("sha-a", key, relative=Path("sub/copy"))
    assert manifest.done("sha-a", key, relative=Path("a"))


def test_a_copy_whose_name_begins_alike_is_not_done(tmp_path):
    key = settings_hash(SETTINGS)
    manifest = Manifest(tmp_path)
    (tmp_path / "a_b_depth.png").touch()
    manifest.append(record_of("a_b", sha="sha-a"))
    assert manifest.done("sha-a", key, relative=Path("a_b"))
    assert manifest.done("sha-a", key, relative=Path("a")) is None


@pytest.mark.parametrize("lost", [1, 7, 60])
def test_half_written_last_line_is_survived(tmp_path, lost):
    manifest = Manifest(tmp_path)
    for name in "abc":
        manifest.append(record_of(name))
    content = manifest.path.read_bytes()
    manifest.path.write_bytes(content[:-lost])
    kept = ["a", "b", "c"] if lost == 1 else ["a", "b"]
    assert [r.input[0] for r in read_manifest(manifest.path)] == kept
    Manifest(tmp_path).append(record_of("d"))
    assert [r.input[0] for r in read_manifest(manifest.path)] == [*kept, "d"]


def test_foreign_lines_are_left_out(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(record_of("a"))
    with manifest.path.open("ab") as file:
        file.write(b'\n[1]\n{"input": 3}\nnull\n\xff\xfe\n{"input": "x", "outputs": 5}\n')
    Manifest(tmp_path).append(record_of("b"))
    assert [r.input for r in read_manifest(manifest.path)] == ["a.jpg", "b.jpg"]


def test_ranks_write_their_own_and_read_all(tmp_path):
    (tmp_path / "a_depth.png").touch()
    Manifest(tmp_path, rank=1).append(record_of("a"))
    assert (tmp_path / "manifest.rank1.jsonl").is_file()
    assert Manifest(tmp_path).done("sha-a", settings_hash(SETTINGS))


def test_relative_outputs(tmp_path):
    manifest = Manifest(tmp_path / "out")
    paths = [tmp_path / "out" / "sub" / "a_depth.png", tmp_path / "out" / "b.ply"]
    assert manifest.relative(paths) == ("sub/a_depth.png", "b.ply")


def test_unwritable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Manifest(tmp_path / "file").append(record_of("a"))
    (tmp_path / "manifest.jsonl.d").mkdir()
    manifest = Manifest(tmp_path)
    manifest.path.mkdir()
    with pytest.raises(OutputError):
        manifest.append(record_of("a"))


def test_outputs_replaced_under_other_settings_are_not_done(tmp_path):
    manifest = Manifest(tmp_path)
    (tmp_path / "a_depth.png").write_bytes(b"first")
    first = record_of("a")
    manifest.append(first)
    other = {**SETTINGS, "steps": 8}
    values = {name: getattr(first, name) for name in ManifestRecord.__slots__}
    values.update(settings=other, settings_hash=settings_hash(other))
    manifest.append(ManifestRecord(**values))
    for reader in (manifest, Manifest(tmp_path)):
        assert reader.done("sha-a", settings_hash(SETTINGS)) is None
        assert reader.done("sha-a", settings_hash(other)) is not None
