"""What is known of a dataset before any of its files is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nearfar.errors import ConfigError

PLACES = ("indoor", "outdoor", "both")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetCard:
    """One dataset. module: `package.file:function` of its reader, imported when it is opened.

    commercial: None = the owner does not say, treated as no. splits: the first is the default.
    expected_counts: samples per split. fingerprints: split or list -> SHA-256 of its keys
    (`nearfar.data.lists.fingerprint`). options: name -> allowed values, the first is the default;
    an empty tuple takes any text. fixture: the layouts that the tests write. page: what to search
    for.
    """

    name: str
    title: str
    licence: str
    commercial: bool | None
    module: str
    place: str
    splits: tuple[str, ...]
    size: str = ""
    synthetic: bool = False
    video: bool = False
    has_sky: bool = False
    has_pose: bool = False
    metric: bool = True
    dense: bool = False
    range_m: tuple[float, float] | None = None
    expected_counts: Mapping[str, int] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixture: tuple[str, ...] = ()
    needs_files: bool = True
    page: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise ConfigError(f"card {self.name}", f"place {self.place!r}", f"Use {PLACES}")
        if self.module.count(":") != 1 or not self.splits:
            raise ConfigError(f"card {self.name}", f"module {self.module!r}, splits {self.splits}")
        for name, value in self.fingerprints.items():
            if len(value) != 64:
                raise ConfigError(f"card {self.name}", f"fingerprint {name} is not a SHA-256")

    @property
    def allows_commercial_use(self) -> bool:
        """Whether the licence clearly allows it; unclear counts as no."""
        return self.commercial is True
