"""Locked protocols; `python tests/eval/test_protocol.py --write` adds new ids and versions."""

import json
import sys
from pathlib import Path

import pytest

from nearfar.errors import ConfigError
from nearfar.eval.align import ALIGNMENTS, AlignOptions
from nearfar.eval.measures import require_known
from nearfar.eval.prepare import BOXES
from nearfar.eval.protocol import (
    canonical_json,
    list_hash,
    load_protocol,
    override,
    protocol_from_table,
    protocol_hash,
    protocol_ids,
    require_runnable,
)

HERE = Path(__file__).parent
LOCKED = HERE / "protocol_hashes.txt"
GOLDEN = HERE.parent / "golden" / "eval" / "protocol_hash.json"
IDS = protocol_ids()


def locked():
    lines = [line.split() for line in LOCKED.read_text(encoding="utf-8").splitlines()]
    return {name: digest for name, digest in lines}


def every_protocol():
    for name in IDS:
        protocol = load_protocol(name)
        yield protocol
        for chosen in protocol.table.get("sets", {}):
            yield load_protocol(f"{name}-{chosen}")


def test_golden_hash():
    golden = json.loads(GOLDEN.read_text())
    assert canonical_json(golden["protocol"]) == golden["canonical"]
    assert protocol_hash(golden["protocol"]) == golden["sha256"]
    assert list_hash(golden["list_lines"]) == golden["list_sha256"]


def test_released_files_never_change_without_a_new_version():
    known = locked()
    for name in IDS:
        protocol = load_protocol(name)
        key = f"{name}@{protocol.version}"
        assert key in known, f"{key} is new: python tests/eval/test_protocol.py --write"
        assert known[key] == protocol.hash, f"{key} changed: give it version + 1"


def test_every_id_of_the_spec_is_there():
    sets = ("nyuv2", "kitti", "eth3d", "scannet", "diode")
    wanted = {f"marigold-{s}{kind}" for s in sets for kind in ("", "-disp")}
    wanted |= {f"ppd-{s}" for s in sets}
    wanted |= {f"depthart-{s}" for s in ("nyuv2", "eth3d", "tum", "ibims")}
    wanted |= {"dar-nyu", "dar-kitti", "dar-kitti-eigen", "dar-sunrgbd", "dav2-metric"}
    wanted |= {"eigen-metric-nyu", "eigen-metric-kitti", "ibims", "da2k", "edge-chamfer"}
    wanted |= {f"moge-{kind}" for kind in ("metric", "scale", "affine", "disparity")}
    wanted |= {"depthpro-boundary-f1", "depthpro-boundary-recall", "boundary-f1-masked"}
    wanted |= {f"vda-{s}-500" for s in ("kitti", "scannet", "bonn", "nyuv2")}
    wanted |= {f"vda-{s}-110" for s in ("sintel", "kitti", "scannet", "bonn")}
    wanted |= {f"{kind}-{s}" for s in sets[:2] for kind in ("ppvd", "perframe")}
    wanted |= {"tae-scannet", "tae-v2", "opw", "real-folder", "synthetic"}
    assert wanted <= set(IDS)
    assert sum(name.startswith("depthpro-metric-") for name in IDS) == 6


def test_every_name_in_a_protocol_means_something():
    for p in every_protocol():
        assert p.alignment.id in ALIGNMENTS or p.alignment.id == "l1_points"
        options = {
            k: tuple(v) if isinstance(v, list) else v for k, v in p.alignment.options.items()
        }
        AlignOptions(**options)
        boxes = [p.image.crop, p.truth.crop]
        boxes += [t.partition(":")[2] for t in p.mask.terms if t.startswith("box:")]
        assert all(name == "none" or name in BOXES for name in boxes), p.id
        scope = "clip" if p.video is not None else "image"
        require_known(p.metrics, where=p.id, scope=scope)
        assert all(e.metric in p.metrics for e in p.expected), p.id


def test_data_sets_are_those_of_the_catalog():
    from nearfar.data.catalog import DATASETS, checked_options

    for p in every_protocol():
        card = DATASETS[p.dataset.name]
        assert p.dataset.split in card.splits, (p.id, p.dataset.split, card.splits)
        checked_options(card, {k: str(v) for k, v in p.dataset.options.items()})
        if p.dataset.fingerprint and card.fingerprints:
            assert p.dataset.fingerprint in card.fingerprints.values(), p.id


def test_sets_are_protocols_of_their_own():
    family = load_protocol("moge-affine")
    with pytest.raises(ConfigError, match="moge-affine-nyuv2"):
        require_runnable(family)
    one = load_protocol("moge-affine-eth3d")
    require_runnable(one)
    assert (one.id, one.image.size) == ("moge-affine-eth3d", (1365, 2048))
    assert one.hash != family.hash


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [*value, "x"]
    return {**value, "x": "y"}


def mutations(table):
    """The table with one field changed, for every field at any depth."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            for name, inner in mutations(value):
                yield f"{key}.{name}", table | {key: inner}
        else:
            yield key, table | {key: changed(value)}


def test_any_changed_field_changes_the_hash():
    for name in ("marigold-nyuv2", "moge-affine", "vda-kitti-500"):
        protocol = load_protocol(name)
        hashes = {
            key: protocol_hash(table)
            for key, table in mutations(protocol.table)
            if key not in ("notes", "hash")
        }
        assert protocol.hash not in hashes.values()
        assert len(hashes) > 50
        assert protocol_hash(protocol.table | {"notes": "other"}) == protocol.hash


def test_override_makes_a_custom_protocol():
    one = load_protocol("marigold-nyuv2")
    assert override(one, []) is one
    other = override(one, ["mask.max=8.0", "alignment.id=l1_affine", "mask.terms=['file']"])
    assert (other.id, other.status) == ("custom-marigold-nyuv2", "custom")
    assert other.mask.max == 8.0 and other.mask.terms == ("file",) and not other.is_comparable
    assert other.hash != one.hash and one.mask.max == 10.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mask.maxx=8", "Did you mean mask.max"),
        ("mask.max", "not key=value"),
        ("mask.terms=3", "mask: terms"),
        ("id=other", "cannot be set"),
        ("average.over=planets", "average.over"),
        ("prediction.accepts={depth='none'}", "unknown value space"),
    ],
)
def test_wrong_overrides_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        override(load_protocol("real-folder"), [change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("mask"), "lacks mask"),
        (lambda t: t["mask"].pop("empty"), "lacks empty"),
        (lambda t: t["caps"].update(maximum=3), "Did you mean max"),
        (lambda t: t.update(status="good"), "status"),
        (lambda t: t.update(kind="video"), "contradict"),
        (lambda t: t.update(version="1"), "version"),
    ],
)
def test_every_field_is_required_and_checked(change, message):
    table = json.loads(json.dumps(load_protocol("real-folder").table))
    change(table)
    with pytest.raises(ConfigError, match=message):
        protocol_from_table(table)


def test_unknown_ids_name_the_nearest():
    with pytest.raises(ConfigError, match="marigold-nyuv2"):
        load_protocol("marigold-nyu2")


def test_hashes_name_no_file_that_is_gone():
    ids = {key.rpartition("@")[0] for key in locked()}
    assert ids == set(IDS)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    hashes = locked() if LOCKED.exists() else {}
    for identifier in IDS:
        found = load_protocol(identifier)
        hashes.setdefault(f"{identifier}@{found.version}", found.hash)
    LOCKED.write_text("".join(f"{k} {v}\n" for k, v in sorted(hashes.items())), encoding="utf-8")
