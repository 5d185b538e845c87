import re
from html.parser import HTMLParser

import numpy as np
import pytest
from mini_run import NASTY, make_result, make_run

from nearfar.errors import DataError
from nearfar.eval.protocol import load_protocol
from nearfar.eval.report import case_pictures, extremes, html_table, write_report
from nearfar.eval.results import Preview, read_table

VOID = {"meta", "img", "br", "polyline", "line", "rect"}


class Page(HTMLParser):
    """Collects text, pictures and links; asserts that every tag is closed in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.sources = [], "", []
        self.tags = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [v for k, v in attributes if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("run"),
        model=f"model {NASTY}",
        curves={
            "risk_coverage": {"by_uncertainty": [0.1, 0.2, 0.3], "oracle": [0.0, 0.1, 0.3]},
            "calibration": {"levels": [0.1, 0.5, 0.9], "coverage": [0.2, 0.4, 0.8]},
        },
        remarks=("only 4 images",),
        comparable=False,
        subsets={"scene": {NASTY: make_result().metrics}},
        degenerate={"negative_slope": 2, "clipped": 0},
    )


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_page_is_well_formed_and_needs_no_other_file(folder, page):
    source = (folder / "report.html").read_text(encoding="utf-8")
    assert source.startswith("<!doctype html>")
    assert page.sources and all(s.startswith("data:image/") for s in page.sources)
    assert "script" not in page.tags and "link" not in page.tags
    assert not re.search(r"https?://|@import|url\(", source)


def test_text_from_outside_is_escaped(folder, page):
    assert "<b>" not in (folder / "report.html").read_text(encoding="utf-8")
    assert f"model {NASTY}" in page.text and f"rendered/{NASTY}/1" in page.text


def test_page_tells_numbers_protocol_remarks_and_special_cases(page):
    for text in (
        "synthetic@1#01234567",
        "0.1625",
        "0.1525 .. 0.1725",
        "not comparable",
        "only 4 images",
        "negative slope",
        "no pixel",
        "peak rss mb",
        "abc1234",
    ):
        assert text in page.text, text
    assert "clipped" not in page.text


def test_charts_and_cases_are_there(folder, page):
    assert page.tags.count("svg") == 4  # two metrics, risk, calibration
    assert "ideal" in page.text and "oracle" in page.text
    assert page.tags.count("img") == 4 * 5  # two best, two worst; five pictures each
    name, ranked = extremes(
        read_table(folder / "samples.csv"), read_table(folder / "samples.csv").rows
    )
    assert (name, [row.index for row in ranked]) == ("abs_rel", [3, 0, 2, 1])
    assert page.text.index(f"{NASTY}/3:") < page.text.index(f"{NASTY}/1:")


def test_baselines_stand_beside_with_the_paired_difference(tmp_path):
    table = load_protocol("synthetic").table
    protocol = {"id": "synthetic", "version": 1, "hash": "ab" * 32, "text": table}
    own = make_run(tmp_path / "own", protocol=protocol)
    ramp = make_run(
        tmp_path / "ramp", model="row-ramp", values=(0.4, 0.6, 0.5, 0.3), protocol=protocol
    )
    assert "row-ramp" not in write_report(own).read_text(encoding="utf-8")
    text = Page(write_report(own, baselines=[ramp]).read_text(encoding="utf-8")).text
    assert "minus row-ramp" in text and "better" in text
    assert re.search(r"-0\.28\d* \[.*\] better", text)


def test_another_protocol_is_said(folder, tmp_path):
    other = make_run(
        tmp_path / "other", model="far", protocol={"id": "other", "version": 2, "hash": "f" * 64}
    )
    text = write_report(folder, baselines=[other]).read_text(encoding="utf-8")
    assert "other@2#ffffffff" in text and "No paired difference" in text


def test_run_without_pictures_curves_or_rows_still_has_a_report(tmp_path):
    run = make_run(tmp_path / "bare", with_uncertainty=False)
    for path in (run / "previews").iterdir():
        path.unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "img" not in page.tags and page.tags.count("svg") == 2
    with pytest.raises(DataError):
        write_report(tmp_path / "nothing")


def test_table_cells_are_escaped_and_numbers_set_right():
    table = html_table(("a<", "b"), [("x&", "1")])
    assert "a&lt;" in table and "x&amp;" in table and '<td class="n">1</td>' in table


def preview(**more):
    truth = np.full((6, 8), 2.0, np.float16)
    truth[:, 4:] = 4.0
    truth[0] = np.nan
    fields = {
        "rgb": np.zeros((6, 8, 3), np.uint8),
        "truth": truth,
        "prediction": np.where(np.isnan(truth), 3, truth).astype(np.float16),
        "valid": np.isfinite(truth),
    }
    return Preview(**(fields | more))


def test_truth_and_prediction_share_their_colors_and_unknown_is_black():
    pictures = case_pictures(preview())
    assert list(pictures) == ["photo", "truth", "prediction", "error"]
    assert np.array_equal(pictures["truth"][1:], pictures["prediction"][1:])
    assert not pictures["truth"][0].any() and pictures["prediction"][0].any()
    assert not np.array_equal(pictures["truth"][1, 0], pictures["truth"][1, 7])
    assert pictures["error"].max() < 10


def test_error_is_bright_where_the_prediction_is_wrong():
    wrong = preview().prediction.copy()
    wrong[3, 3] *= 2
    error = case_pictures(preview(prediction=wrong))["error"].astype(int).sum(axis=2)
    assert np.unravel_index(error.argmax(), error.shape) == (3, 3) and error[3, 3] > 300


def test_missing_parts_are_left_out():
    unknown = np.full((6, 8), np.nan, np.float16)
    assert "uncertainty" in case_pictures(preview(uncertainty=np.ones((6, 8), np.float16)))
    assert list(case_pictures(preview(truth=unknown))) == ["photo", "prediction"]
    assert list(case_pictures(preview(truth=unknown, prediction=unknown))) == ["photo"]
