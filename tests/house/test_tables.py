"""The tables of protocols and datasets in docs/ are those of the code."""

import importlib.util

import pytest
from source_tree import ROOT, refuse

from nearfar.data.catalog import DATASETS
from nearfar.eval.protocol import protocol_ids


@pytest.fixture(scope="module")
def make_tables():
    path = ROOT / "scripts" / "make_tables.py"
    spec = importlib.util.spec_from_file_location("make_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documents_are_current(make_tables):
    faults = []
    for name, (path, table) in make_tables.TABLES.items():
        text = path.read_text(encoding="utf-8")
        if make_tables.renewed(text, name, table()) != text:
            faults.append(f"{path.name}: run python scripts/make_tables.py")
    refuse(faults)


def test_every_protocol_and_dataset_has_a_row():
    protocols = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    datasets = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    faults = [f"protocol {i}" for i in protocol_ids() if f"| `{i}" not in protocols]
    faults += [f"dataset {i}" for i in DATASETS if f"| `{i}` |" not in datasets]
    refuse(faults)


def test_rows_keep_their_columns_and_a_document_without_place_is_refused(make_tables):
    assert make_tables.row(("a|b", "c")) == "| a or b | c |"
    text = "x <!-- t -->old<!-- end --> y"
    assert make_tables.renewed(text, "t", "NEW") == "x <!-- t -->\nNEW\n<!-- end --> y"
    with pytest.raises(SystemExit):
        make_tables.renewed("nothing", "t", "NEW")
