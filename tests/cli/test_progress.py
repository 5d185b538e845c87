"""Lines and bar of a long run."""

import io
import sys

import pytest

from nearfar.cli.progress import RunProgress, counting_bar, one_line


def test_one_line():
    assert one_line("a b\u00e9\n\t'\"") == "a b\u00e9\\n\\t'\""


@pytest.mark.parametrize("quiet", [False, True])
def test_without_terminal_only_lines(capsys, quiet):
    with RunProgress(2, what="images", quiet=quiet) as progress:
        progress.say("done")
        progress.advance()
        progress.say("failed", is_error=True)
    assert capsys.readouterr().err.splitlines() == (["failed"] if quiet else ["done", "failed"])


def test_on_a_terminal_a_bar_with_speed_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with RunProgress(4, what="images", quiet=False) as progress:
        progress.say("a.png: fine")
        progress.advance()
        progress._bar.refresh()
    text = screen.getvalue()
    assert "a.png: fine" in text
    assert "1/4" in text
    assert "images/s" in text


def test_counting_bar_leaves_standard_output_alone(capsys):
    with counting_bar() as bar:
        task = bar.add_task("samples", total=2)
        bar.update(task, completed=2)
    assert capsys.readouterr().out == "" and bar.tasks[0].finished
