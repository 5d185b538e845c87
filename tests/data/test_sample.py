"""The sample contract: stacking keeps meaning, moving keeps the type."""

import math

import torch

from nearfar.data.sample import DepthBatch, DepthSample, stack_samples


def sample(value: float, fov: float) -> DepthSample:
    depth_HW = torch.full((2, 3), value)
    depth_HW[0, 0] = 0
    valid_HW = depth_HW > 0
    return DepthSample(torch.rand(3, 2, 3, generator=torch.Generator().manual_seed(1)), depth_HW,
                       valid_HW, ~valid_HW, fov)  # fmt: skip


def test_stacked_samples_keep_order_and_types():
    batch = stack_samples([sample(1.0, 60.0), sample(2.0, math.nan)])
    assert isinstance(batch, DepthBatch)
    assert batch.image_B3HW.shape == (2, 3, 2, 3)
    assert batch.depth_BHW[:, 1, 1].tolist() == [1.0, 2.0]
    assert batch.valid_BHW.dtype == batch.sky_BHW.dtype == torch.bool
    assert not (batch.valid_BHW & batch.sky_BHW).any()
    assert batch.fov_x_deg_B.dtype == torch.float32
    assert batch.fov_x_deg_B[0] == 60
    assert batch.fov_x_deg_B[1].isnan()


def test_batch_moves_as_a_whole():
    moved = stack_samples([sample(1.0, 60.0)]).to(torch.device("meta"))
    assert isinstance(moved, DepthBatch)
    assert {tensor.device.type for tensor in moved} == {"meta"}
