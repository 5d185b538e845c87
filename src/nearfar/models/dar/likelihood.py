"""How likely the truth was by a step's bins: what teaches them to spread (ours, not the paper's).

-sum_i y_i ln p_i, the mean over pixels whose truth the bins hold; y shares the truth (that of the
nearest pixel) between the two centers beside it. The paper's loss sees only the mean of the bins,
so that their spread means nothing, and 15 % of an error in scale. Only the first step's bins hold
nearly every truth: later ones are narrower than what a photo tells.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .network import DARNetwork
from .sample import Step

_SMALLEST = 1e-30  # probability: far bins must still pull
_NEAREST = 1e-8  # metres, for a finite logarithm where the truth is unknown


def bins_cost(network: DARNetwork, step: Step, truth_BHW: Tensor) -> Tensor:
    """Cross-entropy of a step's bins; 0 (with zero gradients) if they hold no truth.

    truth_BHW: metres at the photo's size, 0 where unknown.
    """
    assert step.shares is not None
    share_BChw, centers_BChw = step.shares
    height, width = truth_BHW.shape[-2:]
    padded = network.padded_size((height, width))
    truth_B1HW = F.pad(truth_BHW[:, None].float(), (0, padded[1] - width, 0, padded[0] - height))
    size_hw = (share_BChw.shape[-2], share_BChw.shape[-1])
    truth_B1hw = F.interpolate(truth_B1HW, size=size_hw, mode="nearest-exact")
    is_known_B1hw = truth_B1hw > 0
    if network.config.spacing == "log":
        truth_B1hw = truth_B1hw.clamp_min(_NEAREST).log()
    width_B1hw = centers_BChw[:, 1:2] - centers_BChw[:, :1]
    within_B1hw = truth_B1hw.clamp(centers_BChw[:, :1], centers_BChw[:, -1:])
    is_held_B1hw = is_known_B1hw & ((truth_B1hw - within_B1hw).abs() <= width_B1hw / 2)
    wanted_BChw = (1 - (centers_BChw - within_B1hw).abs() / width_B1hw).clamp_min(0)
    surprise_B1hw = -(wanted_BChw * share_BChw.clamp_min(_SMALLEST).log()).sum(dim=1, keepdim=True)
    return (surprise_B1hw * is_held_B1hw).sum() / is_held_B1hw.sum().clamp_min(1)
