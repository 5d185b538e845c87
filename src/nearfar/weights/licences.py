"""Which non-commercial licences this user has accepted: one small JSON file in the cache folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nearfar.errors import OutputError, WeightsError
from nearfar.family import WeightsEntry
from nearfar.settings import cache_folder

from .registry import ENCODER_ENTRIES, find


def accepted_file() -> Path:
    """Where acceptances are kept."""
    return cache_folder() / "licences.json"


def accepted_names() -> dict[str, dict[str, str]]:
    """Name -> {licence, accepted}; empty if the file is absent or unreadable (ask again then)."""
    try:
        found = json.loads(accepted_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def parts_of(entry: WeightsEntry) -> list[WeightsEntry]:
    """The entry and the encoder that it runs with, if it runs with one."""
    if entry.is_encoder or not entry.encoder:
        return [entry]
    return [entry, find(ENCODER_ENTRIES[entry.encoder])]


def require_licences(entries: Iterable[WeightsEntry], *, accept: bool) -> None:
    """Pass if every non-commercial licence was accepted before or is now; WeightsError otherwise.

    Accepting is remembered. A licence that changed its name must be accepted again.
    """
    known = accepted_names()
    missing = [
        entry
        for entry in entries
        if entry.needs_acceptance and known.get(entry.name, {}).get("licence") != entry.licence
    ]
    if not missing:
        return
    if not accept:
        names = ", ".join(f"{entry.name} ({entry.licence})" for entry in missing)
        raise WeightsError(
            names,
            "these weights may not be used commercially, and their licence is not accepted yet",
            f"Read it, then run once: nearfar models get {missing[0].name} --accept-license",
        )
    today = datetime.now(UTC).date().isoformat()
    _write(known | {e.name: {"licence": e.licence, "accepted": today} for e in missing})


def _write(names: dict[str, dict[str, str]]) -> None:
    path = accepted_file()
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(path, f"acceptance not written ({error.strerror})") from error
