import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.tokenizers.objective import (
    TokenizerObjective,
    error_gradient,
    squash_nearest,
    squash_photo,
)

CURVES = {"plain": lambda depth, valid: torch.where(valid, depth - 1, 1.0)[:, None]}


def batch(generator, size=(12, 20), count=4):
    image = torch.rand(count, 3, *size, generator=generator)
    depth = 2 * torch.rand(count, *size, generator=generator)
    valid = torch.ones(count, *size, dtype=torch.bool)
    return (
        image,
        depth,
        {
            "valid_BHW": valid,
            "sky_BHW": torch.zeros_like(valid),
            "fov_x_deg_B": torch.full((count,), 60.0),
        },
    )


def test_training_lowers_the_loss_and_keeps_codes_alive(micro, generator):
    image, depth, rest = batch(generator)
    smooth = torch.linspace(0, 2, 20).expand(4, 12, 20) * torch.rand(4, 1, 1, generator=generator)
    objective = TokenizerObjective(micro, curves=CURVES, curve="plain", hits_per_sweep=8)
    optimizer = torch.optim.Adam(micro.parameters(), lr=3e-3)
    found = []
    for _ in range(40):
        losses = objective(DepthBatch(image, smooth, **rest), generator=generator)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        found.append(losses.total.item())
    assert sum(found[-5:]) < 0.7 * sum(found[:5])
    names = {"image", "gradient", "codebook", "commitment", "revived", "used", "perplexity"}
    assert losses.parts.keys() == names
    micro.eval()
    hits = micro.quantize.hits_V.clone()
    held_out = objective(DepthBatch(image, depth, **rest), generator=generator)
    assert torch.equal(hits, micro.quantize.hits_V) and "revived" not in held_out.parts


def test_parts_make_the_total(micro, generator):
    image, depth, rest = batch(generator)
    objective = TokenizerObjective(
        micro, curves=CURVES, curve="plain", gradient_weight=0.5, vq_weight=2.0
    )
    total, parts = objective(DepthBatch(image, depth, **rest), generator=generator)
    vq = 0.25 * parts["commitment"] + parts["codebook"]
    assert torch.isclose(total, parts["image"] + 0.5 * parts["gradient"] + 2 * vq)


def test_unknown_pixels_are_not_taught_and_sky_is(micro, generator):
    micro.eval()
    image, depth, rest = batch(generator, size=(16, 16))
    objective = TokenizerObjective(micro, curves=CURVES, curve="plain")
    rest["valid_BHW"] = rest["valid_BHW"].clone()
    rest["valid_BHW"][:, :8] = False
    unknown = objective._targets(image, depth, rest["valid_BHW"], rest["sky_BHW"])
    assert unknown[1].mean() == 0.5 and (unknown[0][:, :, :8] == 1).all()
    sky = objective._targets(image, depth, rest["valid_BHW"], ~rest["valid_BHW"])
    assert sky[1].mean() == 1 and torch.equal(sky[0], unknown[0])
    nothing = dict(rest, valid_BHW=torch.zeros_like(rest["valid_BHW"]))
    assert torch.isfinite(objective(DepthBatch(image, depth, **nothing), generator=generator).total)


def test_photos_take_their_share(micro, generator):
    image, depth, rest = batch(generator, size=(16, 16))
    objective = TokenizerObjective(micro, curves=CURVES, curve="plain", photo_share=0.5)
    target, usable = objective._targets(image, depth, rest["valid_BHW"], rest["sky_BHW"])
    assert torch.equal(target[:2], 2 * image[:2] - 1)
    assert torch.equal(target[2:, 0], depth[2:] - 1) and torch.equal(target[2:, 0], target[2:, 2])
    assert usable.min() == 1


def test_error_gradient_counts_usable_neighbors():
    error = torch.zeros(1, 1, 4, 4)
    error[..., 2:] = 1.0
    all_usable = torch.ones(1, 1, 4, 4)
    # stride 1: 4 of 12 pairs differ; stride 2: both of 2; others have no neighbors
    assert torch.isclose(error_gradient(error, all_usable), torch.tensor(4 / 12 + 1.0))
    left = all_usable.clone()
    left[..., 2:] = 0
    assert error_gradient(error * left, left) == 0


def test_squashing(generator):
    depth = torch.rand(1, 8, 12, generator=generator)
    small = squash_nearest(depth, (4, 4))
    assert small.shape == (1, 4, 4) and bool(torch.isin(small, depth).all())
    assert squash_nearest(depth > 2, (4, 4)).dtype == torch.bool
    photo = squash_photo(torch.full((1, 3, 8, 12), 0.25), (4, 4))
    torch.testing.assert_close(photo, torch.full((1, 3, 4, 4), 0.25))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"curve": "cubic"}, "curve: unknown 'cubic'. Use one of plain"),
        ({"photo_share": 1.5}, "photo_share: 1.5"),
        ({"vq_weight": -1.0}, "vq_weight: -1.0 is negative"),
    ],
)
def test_impossible_options(micro, options, words):
    with pytest.raises(ConfigError, match=words):
        TokenizerObjective(micro, curves=CURVES, **({"curve": "plain"} | options))
