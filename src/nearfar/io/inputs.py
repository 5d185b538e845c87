"""Which photos an argument means: a file, folder, glob, list file, URL, or '-' (standard input)."""

from __future__ import annotations

import codecs
import glob
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from nearfar.errors import InputError

from .manifest import KnownResults
from .walk import walk_files

_LOG = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("avif", "bmp", "exr", "gif", "hdr", "heic", "heif", "jfif", "jp2", "jpe", "jpeg", "jpg"),
        *("pgm", "png", "ppm", "tga", "tif", "tiff", "webp"),
    )
)


class InputItem(NamedTuple):
    """One photo. path: file, URL or '-'. relative: where its outputs go, without suffix.

    Outputs of an item belong in `output / relative.parent` with the stem `relative.name`; no two
    items of a list share one, also where upper and lower case are the same.
    """

    path: str
    relative: Path


def find_inputs(
    sources: str | Path | Sequence[str | Path],
    *,
    exclude: str | Path | None = None,
    faults: list[InputError] | None = None,
) -> list[InputItem]:
    """The photos of all sources in order, each once; folders are walked and mirrored.

    A folder gives its files with an image suffix, sorted, hidden ones and `exclude` (the output
    folder) left out; linked folders are followed, a file that is there twice counts once. What a
    manifest lists as a result is never an input. A .txt file lists paths or URLs, one a line, '#'
    comments; relative paths are tried from the list's folder, then from the current one. InputError
    if nothing is found, or at the first wrong line of a list; with `faults` these are added to it
    and the other lines count.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    found: dict[str, InputItem] = {}
    results, left_out = KnownResults(), 0
    for source in sources:
        text = str(source)
        if not text:
            raise InputError("input", "the path is empty")
        wrong: list[InputError] = []
        items = list(_expand(text, None if exclude is None else Path(exclude), wrong))
        if wrong and (faults is None or not items):
            finding = wrong[0].finding
            if len(wrong) > 1 and not items:
                finding = f"{finding}; {len(wrong) - 1} more lines are wrong, none is right"
            raise InputError(wrong[0].where, finding, wrong[0].remedy)
        if faults is not None:
            faults += wrong
        if not items:
            raise InputError(
                text, "no images found", f"Known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}"
            )
        for item in items:
            if not is_url(item.path) and item.path in results:
                left_out += 1
            else:
                found.setdefault(_identity(item.path), item)
    if left_out:
        _LOG.info("%d results of earlier runs are no inputs", left_out)
    if not found and left_out:
        raise InputError(sources[0], "holds only results of earlier runs", "Give the photos")
    if not found:
        raise InputError("input", "nothing was given", "Give a photo, a folder or a list file")
    return _with_distinct_names(list(found.values()))


def is_url(text: str) -> bool:
    """Whether the text is an http or https address."""
    return text.lower().startswith(("http://", "https://"))


def _expand(text: str, exclude: Path | None, wrong: list[InputError]) -> Iterator[InputItem]:
    """The items of one source; wrong lines of a list are added to `wrong`."""
    if text == "-":
        yield InputItem("-", Path("stdin"))
    elif is_url(text):
        yield InputItem(text, Path(_url_name(text)))
    elif os.path.isdir(text):
        yield from _walk(Path(text), exclude)
    elif text.lower().endswith(".txt"):
        yield from _listed(Path(text), exclude, wrong)
    elif os.path.lexists(text):
        yield InputItem(text, Path(Path(text).name))
    elif glob.has_magic(text):
        yield from _globbed(text, exclude)
    else:
        raise InputError(text, "no such file or folder", "Check the path")


def _walk(folder: Path, exclude: Path | None) -> Iterator[InputItem]:
    """Image files below a folder, sorted by path."""

    def complain(error: OSError) -> None:
        _LOG.warning("%s: cannot be listed (%s)", error.filename, error.strerror)

    skipped = None if exclude is None else exclude.resolve()

    def is_skipped(path: Path) -> bool:
        return path.name.startswith(".") or (skipped is not None and path.resolve() == skipped)

    files = [
        path
        for path in walk_files(folder, once=True, skip=is_skipped, on_error=complain)
        if not path.name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES
    ]
    for file in sorted(files):
        yield InputItem(str(file), file.relative_to(folder))


def _listed(path: Path, exclude: Path | None, wrong: list[InputError]) -> Iterator[InputItem]:
    """The items of a list file; lines that name nothing are added to `wrong`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"list cannot be read ({error.strerror})") from error
    for number, line in enumerate(_text_of(content).splitlines(), 1):
        entry = line.strip()
        if len(entry) > 1 and entry[0] == entry[-1] and entry[0] in "\"'":
            entry = entry[1:-1]
        if not entry or entry.startswith("#"):
            continue
        try:
            yield from _of_line(entry, path, exclude)
        except InputError as error:
            wrong.append(InputError(f"{path}:{number}", error.finding, error.remedy))


def _of_line(entry: str, path: Path, exclude: Path | None) -> Iterator[InputItem]:
    """The items of one line of a list; InputError if it names nothing."""
    if is_url(entry):
        yield from _expand(entry, exclude, [])
        return
    beside = path.parent / os.path.expanduser(entry)
    if entry == "-" or entry.lower().endswith(".txt"):
        raise InputError(path, f"{entry} is not allowed in a list", "Write paths of photos")
    target = beside if os.path.lexists(beside) else Path(entry)
    if not os.path.lexists(target):
        raise InputError(path, f"{entry}: no such file", "Correct the line: one path on each")
    if target.is_dir():
        yield from _walk(target, exclude)
        return
    below = Path(entry) if not Path(entry).is_absolute() else Path(target.name)
    inside = below.parts and below.parts[0] != "~" and ".." not in below.parts
    yield InputItem(str(target), below if inside else Path(below.name))


def _text_of(content: bytes) -> str:
    """The text of a list in UTF-8, or in UTF-16 with its mark."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="surrogateescape")


def _globbed(pattern: str, exclude: Path | None) -> Iterator[InputItem]:
    """Image files that match (** for any depth), relative to the pattern's fixed part."""
    base = Path(pattern)
    while glob.has_magic(str(base)):
        base = base.parent
    skipped = None if exclude is None else exclude.resolve()
    if skipped is not None and base.resolve().is_relative_to(skipped):
        skipped = None  # results beside photos: the manifest tells them apart
    for path in sorted(_matching(base, pattern)):
        if skipped is not None and path.resolve().is_relative_to(skipped):
            continue
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            yield InputItem(str(path), path.relative_to(base))


def _matching(base: Path, pattern: str) -> Iterator[Path]:
    """Paths that match; ** goes through linked folders, but not in circles as glob does."""
    parts = Path(pattern).relative_to(base).parts
    if "**" not in parts:
        yield from map(Path, glob.glob(pattern))
        return
    for path in walk_files(base, once=False, skip=lambda path: path.name.startswith(".")):
        if _fits(path.relative_to(base).parts, parts):
            yield path


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the names of a path match the parts of a pattern, hidden ones only by a dot."""
    if not parts or not names:
        return not names and all(part == "**" for part in parts)
    is_hidden = names[0].startswith(".") and not parts[0].startswith(".")
    if parts[0] == "**":
        return _fits(names, parts[1:]) or (not is_hidden and _fits(names[1:], parts))
    return not is_hidden and fnmatch(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _identity(path: str) -> str:
    try:
        return path if path == "-" or is_url(path) else os.path.realpath(path)
    except ValueError:  # a NUL inside the name: refused when it is read
        return path


def _url_name(url: str) -> str:
    """The last part of the address as a harmless file name."""
    try:
        name = Path(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise InputError(url, f"is not a valid URL ({error})") from error
    name = "".join(c if c.isprintable() and c not in '\\:*?"<>|' else "_" for c in name)
    return name.strip(". ")[-100:] or "download"


def _with_distinct_names(items: list[InputItem]) -> list[InputItem]:
    """The items with `relative` cut to a stem of its own: a.jpg, a.png become a_jpg, a_png."""
    stems = [_without_suffix(item.relative) for item in items]
    count = Counter(_key(stem) for stem in stems)
    taken = {key for key, number in count.items() if number == 1}
    named = []
    for item, stem in zip(items, stems):
        if count[_key(stem)] > 1:
            suffix = item.relative.name[len(stem.name) + 1 :]
            stem = stem.with_name(f"{stem.name}_{suffix}" if suffix else stem.name)
            first, number = stem, 2
            while _key(stem) in taken:
                stem, number = first.with_name(f"{first.name}_{number}"), number + 1
            taken.add(_key(stem))
        named.append(InputItem(item.path, stem))
    return named


def _without_suffix(relative: Path) -> Path:
    known = relative.suffix.lower() in IMAGE_SUFFIXES
    return relative.with_suffix("") if known else relative


def _key(stem: Path) -> str:
    return stem.as_posix().casefold()
