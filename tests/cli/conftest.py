"""The command line in this process, with a model that needs no weights."""

from typing import NamedTuple

import pytest
from PIL import Image


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def nearfar(make_model, capsys):
    """Run `nearfar ARGUMENTS`; `model=` is what gets loaded; returns code, stdout, stderr."""
    from nearfar.cli import Services, run

    def call(*arguments, model=None):
        chosen = model or make_model()
        code = run([str(a) for a in arguments], services=Services(load=lambda *a, **k: chosen))
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture
def photos(tmp_path, rgb):
    """A folder with a.png, sub/b.jpg and sub/deep/c.png; not the working folder."""
    folder = tmp_path / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    Image.fromarray(rgb).save(folder / "a.png")
    Image.fromarray(rgb[:40, :50]).save(folder / "sub" / "b.jpg")
    Image.fromarray(rgb[10:, 5:]).save(folder / "sub" / "deep" / "c.png")
    return folder


def lines_of(text):
    return [line for line in text.splitlines() if line]
