"""What a pruning is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from nearfar.errors import ConfigError

from .hessian import Weighting, timestep_weights

Mode = Literal["unstructured", "nm", "structured"]
Method = Literal["obs", "magnitude", "wanda", "l1"]
# l1 ranks whole columns, magnitude and wanda single weights
METHODS: dict[Mode, tuple[Method, ...]] = {
    "unstructured": ("obs", "magnitude", "wanda"),
    "nm": ("obs", "magnitude", "wanda"),
    "structured": ("obs", "l1"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneConfig:
    """mode: single weights, n of every m, or whole heads and neurons. method: who chooses them.

    sparsity: share to be gone, of the whole network's, whatever was pruned before; not used by nm.
    nm: zeros among how many inputs. packages: how often photos are run through the network, each
    time for another part of its layers. steps: network calls per photo, None = the model's own.
    weighting, low, high: how much steps count (`timestep_weights`). damp: share of the mean that is
    added to a Hessian's diagonal. compensate: False leaves what stays as it is (structured obs).
    seed: of the noise.
    """

    mode: Mode
    sparsity: float = 0.5
    nm: tuple[int, int] = (2, 4)
    method: Method = "obs"
    packages: int = 4
    steps: int | None = None
    weighting: Weighting = "log_decrease"
    low: float = 0.8
    high: float = 1.2
    damp: float = 0.01
    compensate: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError("mode", f"{self.mode!r}", f"Use one of {', '.join(get_args(Mode))}")
        if self.method not in METHODS[self.mode]:
            raise ConfigError(
                "method",
                f"{self.method!r} does not prune {self.mode}",
                f"Use one of {', '.join(METHODS[self.mode])}",
            )
        if not 0 < self.sparsity < 1:
            raise ConfigError("sparsity", f"{self.sparsity:g}", "A share between 0 and 1")
        if not 0 < self.nm[0] < self.nm[1]:
            raise ConfigError("nm", f"{self.nm[0]}:{self.nm[1]}", "Zeros among inputs, as in 2:4")
        for name in ("packages", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(name, f"{value}", "At least 1")
        if not self.damp > 0:
            raise ConfigError("damp", f"{self.damp:g} is not above 0")
        timestep_weights(self.weighting, 1)

    def line(self, photos: int) -> str:
        """The pruning in one line."""
        share = f"{self.nm[0]}:{self.nm[1]}" if self.mode == "nm" else f"{self.sparsity:g}"
        return f"{self.mode} {share} by {self.method}, {photos} photos, {self.packages} packages"
