"""One scale per clip: what costs, what does not, and that training lowers it."""

import torch

from nearfar.batch import ClipBatch
from nearfar.encoders.outputs import EncoderOutput
from nearfar.encoders.tiny_video_objective import TinyVideoObjective


class Fake(torch.nn.Module):
    """Says the true depth times a factor per frame."""

    def __init__(self, depth, factors):
        super().__init__()
        self.log = (depth.log() + torch.tensor(factors).log()[None, :, None, None]).flatten(0, 1)

    def forward(self, frames):
        zero = torch.zeros(len(self.log))
        return EncoderOutput(self.log, self.log, zero, zero, self.log[:, None], (1, 1))


def losses(network, depth, image):
    sky = torch.zeros(depth.shape, dtype=torch.bool)
    return TinyVideoObjective(network)(
        ClipBatch(
            image, depth, valid_BTHW=~sky, sky_BTHW=sky, fov_x_deg_B=torch.full((len(depth),), 60.0)
        ),
        generator=torch.Generator(),
    )


def depths():
    return 1 + torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_one_factor_for_a_clip_costs_scale_only(clip):
    right = losses(Fake(depths(), [1.0, 1.0, 1.0]), depths(), clip).parts
    scaled = losses(Fake(depths(), [2.0, 2.0, 2.0]), depths(), clip).parts
    assert torch.allclose(scaled["shape"], right["shape"]) and scaled["drift"] < 1e-5
    assert abs(float(scaled["scale"]) - 0.6931) < 1e-3 and right["scale"] < 1e-5


def test_frames_that_disagree_cost_shape(clip):
    parts = losses(Fake(depths(), [1.0, 2.0, 4.0]), depths(), clip).parts
    assert parts["shape"] > 0.5
    assert abs(float(parts["drift"]) - 0.5659) < 1e-3  # ln 2 * sqrt(2/3)
    assert abs(float(parts["steady"]) - 0.6931) < 1e-3


def test_an_error_that_stays_costs_no_steadiness_and_one_that_flickers_does(clip):
    rough = 1 + 0.1 * torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    stays = losses(Fake(depths() * rough, [1.0, 1.0, 1.0]), depths(), clip)
    assert stays.parts["steady"] < 1e-6 < 0.01 < stays.parts["shape"]
    flickers = losses(Fake(depths() * rough, [1.0, 1.05, 1.0]), depths(), clip)
    gained = flickers.parts["shape"] - stays.parts["shape"]
    assert flickers.total - stays.total > 0.04 > gained


def test_a_few_steps_lower_the_loss(started, clip):
    network = started
    image, depth = (
        clip,
        1 + 3 * torch.rand(2, 3, 1, 1, generator=torch.Generator()).expand(2, 3, 32, 48),
    )
    optimizer = torch.optim.Adam([w for w in network.parameters() if w.requires_grad], lr=1e-2)
    values = []
    for _ in range(25):
        total = losses(network, depth, image).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.6 * values[0]
