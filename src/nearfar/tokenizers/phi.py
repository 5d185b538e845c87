"""Which of the shared convolutions (phi) serves which scale (docs/nextscale.md section 1).

With n convolutions at ticks of 0..1, scale k of K takes the one nearest to k / (K - 1). For n = 4
the ticks are linspace(1/12, 11/12, 4), otherwise linspace(1/2n, 1 - 1/2n, n). Between two ticks of
four the released code decides exact ties by float64 rounding (K = 10: k = 2 and 7), so those maps
are tables here.
"""

from __future__ import annotations

from nearfar.errors import ConfigError

_OF_FOUR = {
    1: "0",
    2: "03",
    3: "023",
    4: "0123",
    5: "01223",
    6: "001233",
    7: "0012233",
    8: "00112233",
    9: "001122233",
    10: "0011122333",
    11: "00011222333",
    12: "000111222333",
    13: "0001112222333",
    14: "00011112222333",
    15: "000011122223333",
    16: "0000111122223333",
}


def phi_of_scales(scale_count: int, phi_count: int) -> tuple[int, ...]:
    """Index of the convolution for each of `scale_count` scales; phi_count 0: one for each."""
    if scale_count < 1 or phi_count < 0:
        raise ConfigError("phi", f"{scale_count} scales and {phi_count} convolutions")
    if phi_count == 0:
        return tuple(range(scale_count))
    if phi_count == 4:
        if scale_count not in _OF_FOUR:
            raise ConfigError(
                "scales", f"{scale_count} scales with four shared convolutions", "Use 16 at most"
            )
        return tuple(int(digit) for digit in _OF_FOUR[scale_count])
    return tuple(_nearest(k, max(scale_count - 1, 1), phi_count) for k in range(scale_count))


def _nearest(k: int, last: int, phi_count: int) -> int:
    """argmin over i of |k / last - (2 i + 1) / 2n|, in whole numbers; the first wins ties."""
    return min(range(phi_count), key=lambda i: abs(2 * phi_count * k - (2 * i + 1) * last))
