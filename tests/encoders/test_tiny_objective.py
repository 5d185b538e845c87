import math

import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.encoders.outputs import EncoderOutput
from nearfar.encoders.tiny import PRESETS, TinyEncoder
from nearfar.encoders.tiny_objective import TinyEncoderObjective, log_target


class Says(torch.nn.Module):
    """A network that says what it was given."""

    def __init__(self, log_depth, sky_logit, fov_deg):
        super().__init__()
        tan = torch.full((len(log_depth),), math.log(math.tan(math.radians(fov_deg / 2))))
        self.output = EncoderOutput(log_depth, sky_logit, tan, None, None, (1, 1))

    def forward(self, image):
        return self.output


def losses(log_depth, depth, valid, sky, fov=60.0, told=60.0):
    objective = TinyEncoderObjective(Says(log_depth, 40.0 * (sky.float() * 2 - 1), told))
    return objective(
        DepthBatch(
            torch.zeros(len(depth), 3, 4, 4),
            depth,
            valid_BHW=valid,
            sky_BHW=sky,
            fov_x_deg_B=torch.full((len(depth),), fov),
        ),
        generator=torch.Generator(),
    )


@pytest.fixture
def scene():
    generator = torch.Generator().manual_seed(3)
    depth = 1 + 9 * torch.rand(2, 16, 16, generator=generator)
    sky = torch.zeros(2, 16, 16, dtype=torch.bool)
    sky[:, :3] = True
    depth[sky] = 0
    return depth, ~sky, sky


def test_truth_has_no_loss_but_the_floor(scene):
    depth, valid, sky = scene
    result = losses(log_target(depth, valid, sky), depth, valid, sky)
    assert result.total.item() == pytest.approx(math.sqrt(1e-3), abs=1e-4)


def test_wrong_scale_costs_scale_only(scene):
    depth, valid, sky = scene
    result = losses(log_target(depth, valid, sky) + math.log(2), depth, valid, sky)
    assert result.parts["scale"].item() == pytest.approx(math.log(2), abs=1e-4)
    assert result.parts["shape"].item() == pytest.approx(math.sqrt(1e-3), abs=1e-3)
    assert result.parts["detail"].item() == pytest.approx(0, abs=1e-5)


def test_unknown_pixels_carry_no_loss(scene):
    depth, valid, sky = scene
    valid = valid.clone()
    valid[:, 8:, 8:] = False
    target = log_target(depth, valid, sky)
    wrong = target.clone()
    wrong[:, 8:, 8:] += 50
    assert losses(wrong, depth, valid, sky).total == losses(target, depth, valid, sky).total


def test_sky_lies_behind_everything(scene):
    depth, valid, sky = scene
    target = log_target(depth, valid, sky)
    assert (target[sky] > target[valid].quantile(0.98)).all()


def test_field_of_view_error_is_in_log_tangent_and_skips_unknown(scene):
    depth, valid, sky = scene
    target = log_target(depth, valid, sky)
    expected = math.log(math.tan(math.radians(45)) / math.tan(math.radians(30)))
    assert losses(target, depth, valid, sky, told=90).parts["fov"].item() == pytest.approx(
        expected, abs=1e-5
    )
    assert losses(target, depth, valid, sky, fov=math.nan, told=90).parts["fov"].item() == 0


def test_a_few_steps_reduce_the_loss(scene):
    depth, valid, sky = scene
    torch.manual_seed(0)
    network = TinyEncoder(PRESETS["micro"])
    objective = TinyEncoderObjective(network)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    image = torch.where(sky, 1.0, depth / 10)[:, None].expand(-1, 3, -1, -1)
    image = torch.nn.functional.interpolate(image, size=(64, 96))
    trace = []
    for _ in range(12):
        out = objective(
            DepthBatch(
                image, depth, valid_BHW=valid, sky_BHW=sky, fov_x_deg_B=torch.full((2,), 60.0)
            ),
            generator=torch.Generator(),
        )
        optimizer.zero_grad()
        out.total.backward()
        optimizer.step()
        trace.append(out.total.item())
    assert trace[-1] < 0.8 * trace[0]
