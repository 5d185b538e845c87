import math

import pytest
import torch
from torch import nn

from nearfar.batch import DepthBatch
from nearfar.encoders.outputs import EncoderOutput
from nearfar.encoders.photo_objective import PhotoEncoderObjective

HW = (8, 12)


class Says(nn.Module):
    """A network that answers with these maps."""

    def __init__(self, log_depth, sky_logit=None, tan=None):
        super().__init__()
        sky_logit = torch.full_like(log_depth, -20.0) if sky_logit is None else sky_logit
        tan = torch.zeros(len(log_depth)) if tan is None else tan
        self.output = EncoderOutput(log_depth, sky_logit, tan, None, None, (1, 1))

    def forward(self, image_B3HW):
        return self.output


def depth(count=2):
    return torch.rand(count, *HW, generator=torch.Generator().manual_seed(0)) * 5 + 0.5


def losses(network, depth_BHW, *, valid=None, sky=None, fov=90.0):
    count = len(depth_BHW)
    valid = torch.ones(count, *HW, dtype=torch.bool) if valid is None else valid
    sky = torch.zeros(count, *HW, dtype=torch.bool) if sky is None else sky
    return PhotoEncoderObjective(network)(
        DepthBatch(
            torch.zeros(count, 3, *HW),
            depth_BHW,
            valid_BHW=valid,
            sky_BHW=sky,
            fov_x_deg_B=torch.full((count,), fov),
        ),
        generator=torch.Generator(),
    )


def test_the_truth_costs_nothing():
    found = losses(Says(depth().log()), depth())
    assert found.total.item() == pytest.approx(0, abs=1e-5)


def test_a_common_factor_is_an_error_of_scale_only():
    parts = losses(Says(depth().log() + math.log(2)), depth()).parts
    assert parts["scale"].item() == pytest.approx(math.log(2), rel=1e-5)
    assert parts["shape"].item() == pytest.approx(0, abs=1e-6)
    assert parts["detail"].item() == pytest.approx(0, abs=1e-5)


def test_shape_is_the_mean_absolute_error_about_its_mean():
    step = torch.zeros(2, *HW)
    step[..., : HW[1] // 2] = 0.6  # half the photo: mean 0.3, distance from it 0.3 everywhere
    parts = losses(Says(depth().log() + step), depth()).parts
    assert parts["shape"].item() == pytest.approx(0.3, rel=1e-5)
    assert parts["detail"].item() > 0


def test_sky_and_unknown_pixels_have_no_depth_error():
    wrong = depth().log()
    wrong[:, :4] += 9.0
    sky, valid = torch.zeros(2, *HW, dtype=torch.bool), torch.ones(2, *HW, dtype=torch.bool)
    sky[:, :2], valid[:, :4] = True, False
    logit = torch.where(sky, 20.0, -20.0)
    found = losses(Says(wrong, logit), depth(), valid=valid, sky=sky)
    assert found.total.item() == pytest.approx(0, abs=1e-5)
    missed = losses(Says(wrong, -logit), depth(), valid=valid, sky=sky)
    assert missed.parts["sky"].item() > 5


def test_field_of_view_counts_where_it_is_known():
    assert losses(Says(depth().log()), depth(), fov=60.0).parts["fov"].item() > 0.1
    assert losses(Says(depth().log()), depth(), fov=float("nan")).parts["fov"].item() == 0
