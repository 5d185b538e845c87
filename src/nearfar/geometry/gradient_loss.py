"""Multi-scale gradient loss of depth maps (arXiv 2510.07316; docs/ppd.md section 6)."""

from __future__ import annotations

from torch import Tensor

STRIDES = (1, 2, 4, 8)


def gradient_loss(guess_BHW: Tensor, target_BHW: Tensor, usable_BHW: Tensor) -> Tensor:
    """Scalar: differences of the error between usable neighbors, summed over strides 1, 2, 4, 8.

    e = m (guess - target); per stride sum |e_x+1 - e_x| + |e_y+1 - e_y| over pairs that both count,
    divided by sum m. Strided, not averaged; 0 if nothing is usable.
    """
    total = guess_BHW.new_zeros(())
    for stride in STRIDES:
        usable = usable_BHW[:, ::stride, ::stride]
        error = usable * (guess_BHW - target_BHW)[:, ::stride, ::stride]
        across = (usable[:, :, 1:] & usable[:, :, :-1]) * error.diff(dim=2).abs()
        down = (usable[:, 1:] & usable[:, :-1]) * error.diff(dim=1).abs()
        total = total + (across.sum() + down.sum()) / usable.sum().clamp_min(1)
    return total
