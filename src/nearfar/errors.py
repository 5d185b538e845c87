"""Errors of nearfar: every message says where, what was found, and the remedy, in one line.

`InputError`, `ConfigError`, `WeightsError`, `DataError` are ValueErrors (the user gave something
unusable); `OutputError` and `ResourceError` are OSErrors / MemoryErrors of the machine's side.
The command line prints `str(error)` and exits with 1 or 2; nothing here imports anything.
"""


class NearfarError(Exception):
    """`where: finding. remedy` as one printable line; the three parts stay readable as fields."""

    def __init__(self, where: object, finding: str, remedy: str = "") -> None:
        self.where = _one_line(str(where))
        self.finding = _one_line(finding).rstrip(".")
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.where}: {self.finding}. {self.remedy}".rstrip())

    def __reduce__(self) -> tuple[type["NearfarError"], tuple[str, str, str]]:
        return type(self), (self.where, self.finding, self.remedy)


class InputError(NearfarError, ValueError):
    """A photo, depth map or path that cannot be read or used."""


class ConfigError(NearfarError, ValueError):
    """A config, recipe, option or argument with an impossible value."""


class WeightsError(NearfarError, ValueError):
    """A weights file that is missing, damaged, unsafe, or does not fit the network."""


class DataError(NearfarError, ValueError):
    """A dataset entry that is missing or does not decode as its list says."""


class MetricError(NearfarError, ValueError):
    """A metric quantity (metres, point cloud, field of view) was asked of a map that has none."""


class OutputError(NearfarError, OSError):
    """A result that could not be written completely; nothing half written is left."""


class ResourceError(NearfarError, MemoryError):
    """The work would pass a stated limit of size or memory."""


class MissingExtraError(NearfarError, ImportError):
    """An optional dependency is absent; the remedy names the extra to install."""


def _one_line(text: str) -> str:
    """The text with control characters (newlines in file names) shown as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
