import numpy as np
import torch

from nearfar.data.scenes.sensor import (
    SENSOR_FIELDS,
    SENSOR_LENGTH,
    blur_kernel,
    compress,
    draw_sensor,
    expose,
    hash_normal,
    neutral_sensor,
)


def settings(**changes):
    return torch.tensor(neutral_sensor(**changes)[None]).float()


def radiance(seed=0):
    return torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(seed)) + 0.2


def test_noise_is_normal_and_depends_on_its_seed_only():
    seeds = torch.tensor([5, 6, 2**31 - 1])
    noise = hash_normal(seeds, 4096)
    assert noise.mean(1).abs().max() < 0.06
    assert (noise.std(1) - 1).abs().max() < 0.05
    assert torch.equal(noise[1:2], hash_normal(seeds[1:2], 4096))
    assert torch.corrcoef(noise)[0, 1].abs() < 0.05
    assert torch.corrcoef(torch.stack([noise[0, :-1], noise[0, 1:]]))[0, 1].abs() < 0.05


def test_exposure_ignores_the_scale_of_the_light():
    seed = torch.tensor([1])
    one, thousand = (expose(radiance() * k, settings(), seed) for k in (1.0, 1000.0))
    assert (one - thousand).abs().max() < 0.01
    assert 0.2 < one.mean() < 0.8


def test_each_setting_changes_what_it_names():
    seed, neutral = torch.tensor([1]), expose(radiance(), settings(), torch.tensor([1]))
    assert expose(radiance(), settings(key=0.5), seed).mean() > neutral.mean() + 0.05
    red = expose(radiance(), settings(red=1.5), seed) - neutral
    assert red[:, 0].mean() > 0.02 and red[:, 2].abs().max() < 1e-6
    grey = expose(radiance(), settings(saturation=0), seed)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-5
    dark = expose(radiance(), settings(vignette=0.5), seed) / neutral
    assert dark[..., 0, 0].max() < 0.9 and dark[..., 8, 10].min() > 0.98
    blurred = settings()
    blurred[0, len(SENSOR_FIELDS) :] = torch.tensor(blur_kernel(0.9, (0.0, 0.0))).ravel()
    assert expose(radiance(), blurred, seed).std() < 0.8 * neutral.std()
    assert expose(radiance(), settings(sharpen=1), seed).std() > 1.2 * neutral.std()
    assert expose(radiance(), settings(curve=0.9), seed).std() > 1.05 * neutral.std()
    sloped = expose(radiance(), settings(tilt_x=0.5), seed) - neutral
    assert sloped[..., 15:].mean() > 0.03 and sloped[..., :5].mean() < -0.03
    noisy = expose(radiance(), settings(read=0.05), seed) - neutral
    assert noisy.std() > 0.01


def test_drawn_settings_have_their_order_and_follow_the_generator():
    one = draw_sensor(np.random.default_rng(3))
    assert one.shape == (SENSOR_LENGTH,)
    assert np.isfinite(one).all() and 0.05 < one[0] < 1
    assert np.array_equal(one, draw_sensor(np.random.default_rng(3)))


def test_a_soft_shoulder_keeps_highlights_apart():
    light = torch.full((1, 3, 16, 20), 0.2)
    light[..., :5], light[..., 5:8] = 0.9, 0.8
    step = []
    for shoulder in (0.0, 1.0):
        photo = expose(light, settings(shoulder=shoulder, key=0.6), torch.tensor([1]))
        assert photo.max() <= 1
        step.append((photo[..., 2] - photo[..., 6]).mean() / photo[..., 2].mean())
    assert step[1] > step[0] > 0


def test_blocks_round_coefficients_and_zero_leaves_the_photo():
    photo = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    kept = compress(photo, torch.tensor([0.0, 0.05]))
    assert torch.equal(kept[0], photo[0])
    assert 0.005 < (kept[1] - photo[1]).abs().mean() < 0.2
    torch.testing.assert_close(compress(photo, torch.full((2,), 1e-4)), photo, atol=2e-3, rtol=0)
    smooth = torch.full((1, 3, 16, 16), 0.5)
    torch.testing.assert_close(compress(smooth, torch.tensor([0.02])), smooth, atol=0.02, rtol=0)


def test_motion_smears_along_its_direction():
    kernel = blur_kernel(0.3, (3.0, 0.0))
    assert kernel.sum() == 1 or abs(kernel.sum() - 1) < 1e-9
    along, across = kernel.sum(0), kernel.sum(1)
    at = np.arange(5) - 2
    assert (along * at**2).sum() > 4 * (across * at**2).sum()


def test_switches_take_the_imperfections_away():
    off = [draw_sensor(np.random.default_rng(i), strength=0.0, uneven=0.0) for i in range(20)]
    for name in ("curve", "sharpen", "blocks", "shoulder", "tilt_x", "wave"):
        assert all(values[SENSOR_FIELDS.index(name)] == 0 for values in off)
