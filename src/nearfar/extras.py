"""Optional packages: the module, or an error that says which packages to install.

A hint names packages of others only, read from the installed metadata of whatever distribution
this package came with: our own name on an index may belong to somebody else.
"""

from __future__ import annotations

import re
from importlib import import_module, metadata
from typing import Any

from nearfar.errors import MissingExtraError

_PACKAGE = __name__.partition(".")[0]
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*([^;\[]*?)\s*(?:;(.*))?$")
_OF_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def load_extra(module: str, *, extra: str = "", package: str = "") -> Any:
    """The imported module; MissingExtraError with what to install if it is absent.

    extra: the optional group of ours it belongs to. package: its own name on the index, for what
    belongs to no group.
    """
    try:
        return import_module(module)
    except ImportError as error:
        finding = f"this needs a package that cannot be imported ({error})"
        raise MissingExtraError(module, finding, install_hint(module, extra, package)) from error


def install_hint(module: str, extra: str, package: str = "") -> str:
    """`pip install` of the packages of an extra, or of the one package; never of our own."""
    wanted = packages_of(extra) if extra else []
    return f"pip install {' '.join(wanted or [package or module.partition('.')[0]])}"


def packages_of(extra: str) -> list[str]:
    """Requirements of an extra as pip takes them, quoted; [] where nothing is installed of us."""
    found = []
    for distribution in metadata.packages_distributions().get(_PACKAGE, [])[:1]:
        for line in metadata.requires(distribution) or []:
            parts, groups = _REQUIREMENT.match(line), _OF_EXTRA.findall(line)
            if parts is not None and extra in groups:
                name, version = parts[1], parts[2].strip()
                found.append(f"'{name}{version}'" if version else name)
    return found
