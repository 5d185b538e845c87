import hashlib
from pathlib import Path

import pytest

from nearfar.errors import OutputError
from nearfar.io.manifest import (
    KnownResults,
    Manifest,
    ManifestRecord,
    read_manifest,
    settings_hash,
)

SETTINGS = {"steps": 4, "model": "ppd-tiny", "save": ["png16"]}


def record_of(name, *, error=None, outputs=(), sha=None, settings=SETTINGS, folder="."):
    return ManifestRecord(
        input=f"{folder}/{name}.jpg",
        sha256=f"sha-{name}" if sha is None else sha,
        settings=settings,
        settings_hash=settings_hash(settings),
        seconds=1.5,
        peak_memory_mb=800.0,
        outputs=outputs,
        error=error,
    )


def publish(manifest, record, **files):
    """Publish files named NAME_EXT with these contents; the record as the manifest keeps it."""
    stage = manifest.folder / "stage"
    stage.mkdir(parents=True, exist_ok=True)
    staged = {}
    for name, content in files.items():
        name = name.replace("_png", ".png")
        (stage / name).write_bytes(content)
        staged[manifest.folder / name] = stage / name
    return manifest.publish(record, staged)


def test_settings_hash_ignores_order_only():
    assert settings_hash(SETTINGS) == settings_hash(dict(reversed(SETTINGS.items())))
    assert settings_hash(SETTINGS) != settings_hash({**SETTINGS, "steps": 5})
    assert len(settings_hash({"path": Path("x")})) == 16


def test_records_come_back_equal(tmp_path):
    odd = record_of("a\nb \u00e9 \udcff", error="line\u2028two")
    manifest = Manifest(tmp_path / "new")
    first = publish(manifest, record_of("x", folder=tmp_path), a_png=b"depth")
    odd = manifest.append(odd)
    assert read_manifest(manifest.path) == [first, odd]
    assert (first.source, first.outputs) == ("../x.jpg", ("a.png",))
    assert first.outputs_sha256 == (hashlib.sha256(b"depth").hexdigest(),)
    assert len(manifest.path.read_bytes().splitlines()) == 2


def test_a_result_is_what_a_line_says_to_the_last_byte(tmp_path):
    manifest = Manifest(tmp_path / "out")
    record = publish(manifest, record_of("a", folder=tmp_path), a_png=b"depth", b_png=b"color")
    place = tmp_path / "out" / "a.png"
    assert place.read_bytes() == b"depth"
    other = {**SETTINGS, "steps": 5}
    for reader in (manifest, Manifest(tmp_path / "out")):
        ours = reader.origin(str(tmp_path / "a.jpg"), "sha-a", settings_hash(SETTINGS))
        assert ours == record.origin
        assert reader.is_result(place, ours) and reader.outputs() == {"a.png", "b.png"}
        assert reader.latest(ours) == record
        for origin in (
            reader.origin(str(tmp_path / "b" / "a.jpg"), "sha-a", settings_hash(SETTINGS)),
            ours._replace(sha256="sha-b"),
            ours._replace(settings_hash=settings_hash(other)),
        ):
            assert not reader.is_result(place, origin)
            with pytest.raises(OutputError, match=r"a\.png: is a result of .*a\.jpg with other"):
                reader.require_free([place], origin)
    place.write_bytes(b"Depth")
    assert not manifest.is_result(place, ours)
    with pytest.raises(OutputError, match="was changed after it was made"):
        manifest.require_free([place], ours)
    place.unlink()
    manifest.require_free([place], ours)
    assert not manifest.is_result(place, ours)


def test_nothing_moves_where_one_place_is_taken(tmp_path):
    manifest = Manifest(tmp_path)
    (tmp_path / "b.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"b\.png: exists and is no result .* Use --overwrite"):
        publish(manifest, record_of("a"), a_png=b"depth", b_png=b"color")
    assert (tmp_path / "b.png").read_bytes() == b"mine"
    assert not (tmp_path / "a.png").exists() and not manifest.path.exists()


def test_a_run_killed_between_line_and_move_owns_what_moved(tmp_path):
    manifest = Manifest(tmp_path)
    record = publish(manifest, record_of("a"), a_png=b"depth", b_png=b"color")
    (tmp_path / "b.png").write_bytes(b"mine")  # in truth: b never moved, this was there
    origin = record.origin
    assert manifest.is_result(tmp_path / "a.png", origin)
    assert not manifest.is_result(tmp_path / "b.png", origin)
    with pytest.raises(OutputError, match=r"b\.png"):
        publish(manifest, record_of("a"), a_png=b"depth", b_png=b"color")


def test_staged_files_can_stay(tmp_path):
    manifest = Manifest(tmp_path)
    made = tmp_path / "made.png"
    made.write_bytes(b"depth")
    for _ in range(2):
        manifest.publish(record_of("a"), {tmp_path / "s" / "a.png": made}, keep_staged=True)
    assert made.read_bytes() == (tmp_path / "s" / "a.png").read_bytes() == b"depth"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.png", "manifest.jsonl", "s"]


def test_the_whole_tree_may_move(tmp_path):
    (tmp_path / "here").mkdir()
    publish(
        Manifest(tmp_path / "here" / "out"), record_of("a", folder=tmp_path / "here"), a_png=b"d"
    )
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Manifest(tmp_path / "there" / "out")
    origin = moved.origin(str(tmp_path / "there" / "a.jpg"), "sha-a", settings_hash(SETTINGS))
    assert moved.is_result(tmp_path / "there" / "out" / "a.png", origin)


def test_urls_are_their_own_place(tmp_path):
    manifest = Manifest(tmp_path)
    for source in ("-", "https://example.org/a.jpg"):
        assert manifest.origin(source, "x", "y").source == source


def test_what_others_write_meanwhile_is_seen(tmp_path):
    ours, theirs = Manifest(tmp_path), Manifest(tmp_path, rank=1)
    record = publish(theirs, record_of("a"), a_png=b"depth")
    assert (tmp_path / "manifest.rank1.jsonl").is_file()
    assert not ours.is_result(tmp_path / "a.png", record.origin)
    ours.refresh()
    assert ours.is_result(tmp_path / "a.png", record.origin)
    assert Manifest(tmp_path).is_result(tmp_path / "a.png", record.origin)


def test_known_results_are_those_of_any_manifest_above(tmp_path):
    publish(Manifest(tmp_path / "out"), record_of("a"), a_png=b"depth")
    (tmp_path / "out" / "b.png").touch()
    (tmp_path / "link").symlink_to("out")
    Manifest(tmp_path).append(record_of("c", outputs=("other/deep/c.png",)))
    results = KnownResults()
    assert tmp_path / "out" / "a.png" in results and tmp_path / "link" / "a.png" in results
    assert tmp_path / "other" / "deep" / "c.png" in results
    assert tmp_path / "out" / "b.png" not in results and "a\0b" not in results
    (tmp_path / "out" / "a.png").write_bytes(b"a photo of that name")
    assert tmp_path / "out" / "a.png" not in results  # somebody's, whatever its name


@pytest.mark.parametrize("lost", [1, 7, 60])
def test_half_written_last_line_is_survived(tmp_path, lost):
    manifest = Manifest(tmp_path)
    for name in "abc":
        manifest.append(record_of(name))
    content = manifest.path.read_bytes()
    manifest.path.write_bytes(content[:-lost])
    kept = ["a", "b", "c"] if lost == 1 else ["a", "b"]
    assert [r.sha256[-1] for r in read_manifest(manifest.path)] == kept
    Manifest(tmp_path).append(record_of("d"))
    assert [r.sha256[-1] for r in read_manifest(manifest.path)] == [*kept, "d"]


def test_foreign_lines_are_left_out(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(record_of("a"))
    with manifest.path.open("ab") as file:
        file.write(b'\n[1]\n{"input": 3}\nnull\n\xff\xfe\n{"input": "x", "outputs": 5}\n')
    Manifest(tmp_path).append(record_of("b"))
    assert [r.input for r in read_manifest(manifest.path)] == ["./a.jpg", "./b.jpg"]


def test_unwritable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Manifest(tmp_path / "file").append(record_of("a"))
    (tmp_path / "manifest.jsonl.d").mkdir()
    manifest = Manifest(tmp_path)
    manifest.path.mkdir()
    with pytest.raises(OutputError):
        manifest.append(record_of("a"))


def test_a_foreign_manifest_is_not_touched(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b'{"audio": "a.wav"}\n')
    with pytest.raises(OutputError, match="is no manifest of nearfar"):
        Manifest(tmp_path)
    for ours in (b"", b'{"inp', b'{"input": "a.j'):
        path.write_bytes(ours)
        Manifest(tmp_path)
