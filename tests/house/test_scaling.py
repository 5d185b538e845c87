"""benchmarks/scaling.py on invented scenes: points, pictures, the page, and runs that resume."""

import json
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from source_tree import ROOT


@pytest.fixture(scope="module")
def modules():
    """The benchmark, and the invented scenes of the test beside this one."""
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "house")]
    try:
        import encoder_training
        import ledger
        import quality_tiny
        import scaling
        import test_scene_ablation
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        sys.path.remove(str(ROOT / "tests" / "house"))
    return SimpleNamespace(
        training=encoder_training,
        ledger=ledger,
        quality=quality_tiny,
        scaling=scaling,
        scenes=test_scene_ablation,
    )


@pytest.fixture
def bench(modules, monkeypatch, tmp_path):
    """A run of a few dozen samples into a file; how many sizes were trained, and the record."""
    trained, path = [], tmp_path / "scaling.json"

    def train(job, shards, *, seed, device, at):
        trained.append((job.network, seed))
        return modules.training.train(job, shards, seed=seed, device=device, at=at)

    monkeypatch.setattr(modules.scaling, "train", train)
    monkeypatch.setattr(modules.scaling, "pool", lambda chosen: modules.scenes.Floors())
    monkeypatch.setattr(
        modules.scaling, "judged_sets", lambda chosen: modules.scenes.sets_of(modules)
    )

    def run(**changes):
        chosen = modules.scaling.arguments(["--quick", "--output", str(path)])
        vars(chosen).update({"samples": 64, "scenes": 16, "batch": 8, **changes})
        trained.clear()
        ledger = modules.ledger.Ledger("scaling", path, {"dtype": "fp32"})
        modules.scaling.run(chosen, ledger)
        return list(trained), json.loads(path.read_text(encoding="utf-8"))

    return run


def test_every_size_is_judged_at_powers_of_two_and_runs_resume(modules, bench, capsys):
    trained, record = bench()
    assert len(set(trained)) == 3 and record["sizes"].keys() == modules.scaling.QUICK.keys()
    for size in record["sizes"].values():
        assert [point["samples"] for point in size["points"]] == [16, 32, 64]
        first, last = (size["points"][k]["scores"]["rendered"]["abs_rel"] for k in (0, -1))
        assert last < first
    assert record["sizes"]["width x2"]["parameters"] > record["sizes"]["width x1"]["parameters"]
    assert "row ramp" in capsys.readouterr().out
    trained, again = bench(seeds=2)
    assert [seed for _, seed in trained] == [1, 1, 1]
    one, two = (
        again["runs"]["width x1"][seed]["points"][-1]["scores"]["pairs"]["abs_rel"] for seed in "01"
    )
    mean = again["sizes"]["width x1"]["points"][-1]["scores"]["pairs"]["abs_rel"]
    assert mean == pytest.approx((one + two) / 2, abs=1e-5) and one != two


def test_pictures_and_page_say_what_was_measured(modules, bench, tmp_path):
    _, record = bench()
    rendered, pairs = modules.scaling.draw(record, tmp_path / "images")
    assert (rendered.name, pairs.name) == ("scaling.svg", "scaling_pairs.svg")
    space = "{http://www.w3.org/2000/svg}"
    root = ET.parse(rendered).getroot()
    assert root.tag == f"{space}svg" and len(root.findall(f"{space}polyline")) == 4
    texts = {element.text for element in root.iter(f"{space}text")}
    assert {"16", "32", "64", "samples", "AbsRel, rendered", "row ramp", "width x2"} <= texts

    page = tmp_path / "scaling.md"
    page.write_text(f"before\n{modules.scaling.BEGIN}\nold\n{modules.scaling.END}\nafter\n")
    for _ in range(2):  # writing again changes nothing
        modules.scaling.document(record, page)
        text = page.read_text(encoding="utf-8")
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    row = record["sizes"]["width x2"]["points"][-1]["scores"]["pairs"]
    assert f"{row['abs_rel']:.3f} / {row['delta1']:.3f}" in text
    assert text.count("| width x2 |") == 2 and "images/scaling_pairs.svg" in text


def test_no_path_of_a_machine_is_stored(modules, bench, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--pairs", "../kits/real", "--cache", "/x/y"])
    command = bench()[1]["command"]
    assert command == "python scaling.py --pairs .../real --cache .../y"


def test_the_page_in_the_repository_has_its_marks(modules):
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert text.count(modules.scaling.BEGIN) == text.count(modules.scaling.END) == 1


def test_sizes_are_those_of_the_page(modules):
    sizes, tiny = modules.scaling.SIZES, modules.training.PRESETS["tiny"]
    assert sizes["width x1"] == tiny
    assert [2 * w for w in sizes["width x0.5"].widths] == list(tiny.widths)
    assert [w * 2 / 3 for w in sizes["width x1.5"].widths] == list(tiny.widths)
    larger = sizes["width x1, 96x128"]
    assert larger.widths == tiny.widths and larger.area > 2 * tiny.area
