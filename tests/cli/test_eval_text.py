from dataclasses import replace

import pytest

from nearfar.cli.eval_text import print_comparison, print_protocol, print_result, protocol_facts
from nearfar.eval.compare import Comparison, Difference
from nearfar.eval.protocol import load_protocol
from nearfar.eval.results import EvalResult, Summary


def result(**more):
    one = Summary(mean=0.123456, median=0.1, std=None, ci95=(0.1, None), n=3)
    fields = {
        "protocol": {"id": "p", "version": 1, "hash": "ab" * 32, "scope": "image"},
        "model": {"name": "m"},
        "dataset": {"evaluated": 3, "listed": 4, "skipped": 1},
        "settings": {},
        "tool": {},
        "machine": {},
        "metrics": {"abs_rel": one},
    }
    return EvalResult(**(fields | more))


def test_a_result_says_what_was_left_out(capsys):
    print_result(replace(result(), remarks=("subset: the first 3",)))
    text = capsys.readouterr().out
    assert "m on p@1#abababab: 3 of 4 images, 1 skipped" in text
    assert "not comparable: subset" in text and "0.1235" in text


@pytest.mark.parametrize(
    ("metric", "goal", "is_clear", "better", "words"),
    [
        ("abs_rel", None, True, "b", "b - a +0.2 [+0.1, +0.3]  b is better"),
        ("abs_rel", None, False, "", "no winner"),
        ("coverage_90", 0.9, True, "a", "|b - 0.9| - |a - 0.9| +0.2 [+0.1, +0.3]  a is better"),
        ("sharpness", None, True, "", "neither is better by it"),
    ],
)
def test_a_comparison_is_said_in_words(capsys, tmp_path, metric, goal, is_clear, better, words):
    one = Difference(metric, 0.1, 0.3, 0.2, 0.1, 0.3, is_clear, better, goal)
    part = replace(result(), remarks=("subset: the first 3",))
    print_comparison(Comparison(part, part, [one]), tmp_path / "x", tmp_path / "y")
    text = capsys.readouterr().out
    assert words in text and "m (a)" in text
    assert text.count("note: subset") == 1


def test_a_protocol_shows_every_field(capsys):
    one = load_protocol("dar-nyu")
    print_protocol(one)
    text = capsys.readouterr().out
    assert all(name.replace("_", " ") in text for name in one.table["mask"])
    assert "expected: DAR-S: abs_rel 0.059" in text
    assert protocol_facts(one)["hash"] == one.hash
