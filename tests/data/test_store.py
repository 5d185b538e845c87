import gzip
import pickle
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from mini_c import pack_tar, pack_zip, put

from nearfar.data import store as module
from nearfar.data.store import clean_name, open_store
from nearfar.errors import DataError

FILES = {
    "a/1.txt": b"one",
    "a/b/2.txt": b"two" * 1000,
    "a/10.png": bytes(range(256)),
    "top.txt": b"top",
}


@pytest.fixture
def tree(tmp_path):
    put(tmp_path / "tree", FILES)
    return tmp_path / "tree"


def targz(folder, target):
    plain = pack_tar(folder, target.with_suffix(".plain"))
    target.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return target


@pytest.fixture(params=["folder", "tar", "tar without ./", "zip", "tgz", "archives inside"])
def store(request, tree, tmp_path):
    """The same files in every form a store takes."""
    if request.param == "folder":
        return open_store(tree)
    if request.param == "zip":
        return open_store(pack_zip(tree, tmp_path / "x.zip"))
    if request.param == "tgz":
        return open_store(targz(tree, tmp_path / "x.tar.gz"))
    if request.param == "archives inside":
        outer = tmp_path / "outer"
        put(outer, {"top.txt": b"top", "a/1.txt": b"one"})
        pack_tar(tree / "a", outer / "part_a.tar", "a/")
        return open_store(outer)
    return open_store(pack_tar(tree, tmp_path / "x.tar", "./" if "w" not in request.param else ""))


def test_every_form_holds_the_same_files(store):
    assert store.names() == sorted(FILES)
    assert {name: store.read(name) for name in store.names()} == FILES
    assert store.names(under="a/b") == ["a/b/2.txt"] == store.names("/a//b/")
    assert store.names(under="nothing") == []
    assert store.has_folder("a/b") and not store.has_folder("a/1")
    assert store.exists("a/1.txt") and not store.exists("a/2.txt") and not store.exists("a")


def test_names_are_taken_as_lists_write_them(store):
    for name in ("/a/1.txt", "./a/1.txt", "a//1.txt", "a\\1.txt"):
        assert store.read(name) == b"one"
    with pytest.raises(DataError, match="leaves the dataset folder"):
        store.read("../secret")
    with pytest.raises(DataError, match=r"a/3\.txt: no such file"):
        store.read("a/3.txt")


def test_open_gives_a_seekable_file(store):
    with store.open("a/10.png") as file:
        assert file.read(2) == b"\x00\x01"
        assert file.seek(-3, 2) == 253 and file.read() == b"\xfd\xfe\xff"
        assert file.seek(10) == 10 and file.read(1) == b"\x0a" and file.read(-1)[-1] == 255
        assert file.tell() == 256 and file.read() == b""


def test_a_pickle_is_the_same_store(store):
    store.names()
    other = pickle.loads(pickle.dumps(store))
    assert other.names() == store.names() and other.read("a/b/2.txt") == FILES["a/b/2.txt"]


def test_threads_read_alike(store):
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(store.read, ["a/1.txt", "a/b/2.txt"] * 20))
    assert contents == [b"one", FILES["a/b/2.txt"]] * 20


def test_within_is_a_store_of_a_folder(store):
    inner = store.within("a")
    assert inner.names() == ["1.txt", "10.png", "b/2.txt"]
    assert inner.names("b") == ["b/2.txt"] and inner.read("b/2.txt") == FILES["a/b/2.txt"]
    assert inner.within("b").read("2.txt") == FILES["a/b/2.txt"]
    assert "a/9.txt" in inner.where("9.txt")


def test_index_is_made_once(tree, tmp_path, monkeypatch):
    store = open_store(pack_tar(tree, tmp_path / "x.tar"))
    store.read("a/1.txt")
    copy = pickle.loads(pickle.dumps(store))
    monkeypatch.setattr(module, "_tar_members", lambda *_: pytest.fail("indexed again"))
    assert store.read("top.txt") == copy.read("top.txt") == b"top"


def test_messages_say_where(tree, tmp_path):
    assert open_store(tree).where("a/1.txt") == str(tree / "a/1.txt")
    tar = pack_tar(tree, tmp_path / "x.tar")
    assert open_store(tar).where("a/1.txt") == f"{tar}!a/1.txt"
    outer = open_store(tmp_path)
    assert outer.read("top.txt") == b"top" and outer.where("top.txt") == f"{tar}!top.txt"
    assert outer.archives() == ["x.tar"] and outer.nested("x.tar").names() == sorted(FILES)
    with pytest.raises(DataError, match="not an archive"):
        outer.nested("tree/top.txt")


def test_links_of_a_tar_stand_for_their_files(tmp_path):
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "g").hardlink_to(tmp_path / "f")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "f", arcname="./f")
        tar.add(tmp_path / "g", arcname="./g")
    store = open_store(tmp_path / "x.tar")
    assert store.read("g") == store.read("f") == b"content"


def test_damaged_archives_are_named(tree, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        open_store(tmp_path / "nothing")
    with pytest.raises(DataError, match="neither a folder"):
        open_store(tree / "top.txt")
    for name in ("x.zip", "x.tgz", "x.tar"):
        (tmp_path / name).write_bytes(b"garbage" * 200)
        with pytest.raises(DataError, match=rf"{name}: is a damaged archive"):
            open_store(tmp_path / name).names()


def test_changed_bytes_of_a_zip_are_noticed(tree, tmp_path):
    path = pack_zip(tree, tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    place = content.index(bytes(range(100, 120)))
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip!a/10\.png: is damaged .*checksum"):
        open_store(path).read("a/10.png")


def test_cut_tar_is_noticed(tree, tmp_path):
    path = pack_tar(tree, tmp_path / "x.tar")
    store = open_store(path)
    store.names()
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match="ends early"):
        store.read("top.txt")


def test_encrypted_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("f", b"x")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        open_store(tmp_path / "x.zip").names()


def test_large_packed_tars_must_be_unpacked(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_PACKED_TAR", 10)
    path = targz(tree, tmp_path / "x.tar.gz")
    with pytest.raises(DataError, match="too large to read compressed"):
        open_store(path).names()
    store = open_store(tmp_path)
    assert "top.txt" not in store.names() and "tree/top.txt" in store.names()
    assert "Unpack x.tar.gz" in str(store.nothing_found("val/*.png"))


def test_nothing_found_says_what_was_looked_for(tree):
    error = open_store(tree).nothing_found("a.mat", "b/*.png")
    assert str(error) == f"{tree}: no a.mat and no b/*.png. Give the folder that holds them"


def test_clean_name():
    assert clean_name("//a/./b\\c/") == "a/b/c"


def test_what_unpacks_beyond_the_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_UNPACKED", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.png", bytes(100_000))
    with pytest.raises(DataError, match="unpacks to 0.0 GB or more of memory, the limit is"):
        open_store(tmp_path / "bomb.zip").read("depth.png")
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(DataError, match=r"bomb.tar.gz: unpacks to"):
        open_store(tmp_path / "bomb.tar.gz").names()


def test_a_stated_size_is_never_passed(tmp_path):
    path = tmp_path / "lies.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(100_000))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (50).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="its size is not the stated one"):
        open_store(path).read("a.png")


@pytest.mark.parametrize("field", [20, 42])  # of the central directory: packed size, offset
@pytest.mark.parametrize("value", [0xFFFFFFFE, 0x7FFFFFFF, 1])
def test_damaged_places_in_a_zip_are_damage(tmp_path, field, value):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"abc")
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + field
    content[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError):
        open_store(path).read("a.png")


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "set" / "deep").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    for name in ("set/deep/a.png", "far/b.png"):
        (tmp_path / name).touch()
    (tmp_path / "set" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "set" / "same").symlink_to("deep")
    for name in ("loop", "more"):  # two of them are 2 ** 40 ways
        (tmp_path / "set" / name).symlink_to(".")
        (tmp_path / "far" / name).symlink_to(tmp_path)
    names = open_store(tmp_path / "set").names()
    assert {"deep/a.png", "same/a.png", "far/b.png"} <= set(names) and len(names) < 30
