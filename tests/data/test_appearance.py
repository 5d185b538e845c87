import torch

from nearfar.data.appearance import (
    Dice,
    erase_patches,
    flatten_contrast,
    mix_amplitudes,
    random_filter,
)


def photos(count=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, 6, 8, generator=g)
    return torch.nn.functional.interpolate(x, (48, 64), mode="bilinear")


def dice(count=6, seed=0):
    return Dice(count, torch.Generator().manual_seed(seed), torch.device("cpu"))


def test_without_a_chance_nothing_changes():
    image = photos()
    assert torch.equal(random_filter(image, dice(), chance=0, strength=1), image)
    assert torch.equal(mix_amplitudes(image, dice(), chance=0), image)
    assert torch.equal(flatten_contrast(image, dice(), chance=0), image)
    assert torch.equal(erase_patches(image, dice(), chance=0), image)


def test_changes_follow_the_dice_and_touch_some_photos():
    image = photos(40)
    for change in (
        lambda x, d: random_filter(x, d, chance=0.5, strength=1.0),
        lambda x, d: mix_amplitudes(x, d, chance=0.5),
        lambda x, d: flatten_contrast(x, d, chance=0.5),
        lambda x, d: erase_patches(x, d, chance=0.5),
    ):
        one, again = change(image, dice(40)), change(image, dice(40))
        assert torch.equal(one, again)
        touched = (one != image).flatten(1).any(1).sum()
        assert 8 < touched < 32
        assert not torch.equal(one, change(image, dice(40, seed=1)))


def test_random_filters_keep_mean_and_spread():
    image = photos()
    out = random_filter(image, dice(), chance=1, strength=1.0)
    assert (out - image).abs().mean() > 0.01
    torch.testing.assert_close(out.mean((2, 3)), image.mean((2, 3)), atol=1e-4, rtol=0)
    assert (out.std((2, 3)) < 1.1 * image.std((2, 3))).all()


def test_mixed_amplitudes_take_brightness_from_others_and_keep_edges():
    image = photos() * torch.linspace(0.2, 1, 6)[:, None, None, None]
    image[..., 30:] += 0.0
    out = mix_amplitudes(image, dice(), chance=1)
    means, before = out.mean((1, 2, 3)), image.mean((1, 2, 3))
    assert (means - before).abs().max() > 0.05
    assert means.min() > before.min() - 0.05 and means.max() < before.max() + 0.05
    fine_out, fine_in = out.diff(dim=-1).flatten(1), image.diff(dim=-1).flatten(1)
    assert all(torch.corrcoef(torch.stack(pair))[0, 1] > 0.4 for pair in zip(fine_out, fine_in))


def test_flattening_levels_dark_and_bright_sides():
    image = photos() * torch.linspace(0.1, 1, 64)
    out = flatten_contrast(image, dice(), chance=1)

    def sides(x):
        return (x[..., 40:].mean((1, 2, 3)) - x[..., :24].mean((1, 2, 3))).abs().mean()

    assert sides(out) < 0.75 * sides(image)


def test_erased_patches_are_small_and_flat():
    image = photos()
    out = erase_patches(image, dice(), chance=1)
    share = (out != image).any(1).float().mean((1, 2))
    assert (share > 0.001).all() and (share < 0.09).all()
