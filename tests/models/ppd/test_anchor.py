"""The encoder's frame: quantiles, sky, and truth fitted to it."""

import torch

from nearfar.encoders.base import MetricGuess
from nearfar.models.ppd.anchor import SKY, anchor_of, anchored_target


def ramp(rows=20, columns=30):
    """Metres whose ln(d + 1) rises evenly from row to row."""
    return (
        torch.expm1(torch.linspace(0.7, 2.3, rows))[None, :, None].expand(2, rows, columns).clone()
    )


def frame_of(guess, image=None):
    """The anchor for a photo without edges, where nothing is made sharper."""
    image = (
        torch.zeros(len(guess.depth_BHW), 3, *guess.depth_BHW.shape[1:]) if image is None else image
    )
    return anchor_of(guess, image)


def guess_of(depth, valid=None):
    valid = torch.ones_like(depth, dtype=torch.bool) if valid is None else valid
    return MetricGuess(depth, valid, torch.full((len(depth),), 60.0))


def test_the_frame_spans_the_map_and_gives_its_metres_back():
    depth = ramp()
    anchor = frame_of(guess_of(depth))
    assert anchor.map_B1HW.shape == (2, 1, 20, 30)
    assert -0.55 < anchor.map_B1HW.min() < -0.45 < 0.45 < anchor.map_B1HW.max() < 0.55
    torch.testing.assert_close(
        anchor.log_depth(anchor.map_B1HW)[:, 0], depth.log1p(), atol=1e-5, rtol=1e-5
    )


def test_sky_lies_behind_everything_and_does_not_stretch_the_frame():
    depth, valid = ramp(), torch.ones(2, 20, 30, dtype=torch.bool)
    depth[:, :5], valid[:, :5] = 900.0, False
    anchor = frame_of(guess_of(depth, valid))
    assert (anchor.map_B1HW[:, 0, :5] == SKY).all()
    assert anchor.map_B1HW[:, 0, 5:].max() < SKY
    everything_sky = frame_of(guess_of(depth, torch.zeros_like(valid)))
    assert everything_sky.map_B1HW.isfinite().all() and everything_sky.range_B.isfinite().all()


def test_a_flat_wall_has_a_finite_frame():
    anchor = frame_of(guess_of(torch.full((1, 8, 8), 3.0)))
    assert anchor.range_B.item() > 0.01 and anchor.map_B1HW.isfinite().all()


def test_truth_that_differs_by_scale_and_shift_is_the_encoder_s_map():
    depth = ramp()
    anchor = frame_of(guess_of(depth))
    other = torch.expm1(depth.log1p() * 0.8 + 0.4)  # another scale and shift of ln(d + 1)
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    target = anchored_target(other, anchor, valid_BHW=everywhere, sky_BHW=~everywhere)
    torch.testing.assert_close(target.clean_B1HW, anchor.map_B1HW, atol=1e-4, rtol=0)
    assert target.usable_B1HW.all()


def test_what_the_encoder_missed_stays_to_be_corrected():
    depth = ramp()
    truth = depth.clone()
    truth[:, 8:12, 10:20] *= 0.5  # a box the encoder does not see
    anchor = frame_of(guess_of(depth))
    sky = torch.zeros_like(depth, dtype=torch.bool)
    sky[:, 0] = True
    target = anchored_target(truth, anchor, valid_BHW=~sky, sky_BHW=sky)
    missing = (target.clean_B1HW - anchor.map_B1HW)[:, 0]
    assert missing[:, 8:12, 10:20].mean() < -0.2
    assert missing[:, 1:6].abs().max() < 0.12
    assert (target.clean_B1HW[:, 0, 0] == SKY).all()


def test_a_useless_encoder_does_not_blow_the_target_up():
    generator = torch.Generator().manual_seed(0)
    anchor = frame_of(guess_of(torch.rand(2, 20, 30, generator=generator) + 1))
    everywhere = torch.ones(2, 20, 30, dtype=torch.bool)
    target = anchored_target(ramp(), anchor, valid_BHW=everywhere, sky_BHW=~everywhere)
    assert target.clean_B1HW.abs().max() <= 1.2
    assert target.clean_B1HW.std() > 0.05  # and not flat either


def test_the_encoder_s_slopes_become_steps_at_the_photo_s_edges():
    columns = torch.arange(40.0)
    slope = 1 + 4 * torch.sigmoid((columns - 18) / 2)  # a map that passes over ten pixels
    photo = (columns >= 20).float().expand(1, 3, 24, 40)  # where the photo has one edge
    guess = guess_of(slope.expand(1, 24, 40).contiguous())
    before, after = frame_of(guess).map_B1HW[0, 0, 12], frame_of(guess, photo).map_B1HW[0, 0, 12]
    assert before.diff().max() < 0.2
    assert after.diff()[19] > 0.4 and after.diff().argmax() == 19
