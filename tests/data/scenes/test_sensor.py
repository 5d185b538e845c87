import numpy as np
import torch

from sonde.data.scenes.sensor import SENSOR_FIELDS, draw_sensor, expose, hash_normal

NEUTRAL = [0.2, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def settings(**changes):
    values = dict(zip(SENSOR_FIELDS, NEUTRAL)) | changes
    return torch.tensor([[float(values[name]) for name in SENSOR_FIELDS]])


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
    assert expose(radiance(), settings(blur=1), seed).std() < 0.8 * neutral.std()
    noisy = expose(radiance(), settings(read=0.05), seed) - neutral
    assert noisy.std() > 0.01


def test_drawn_settings_have_their_order_and_follow_the_generator():
    one = draw_sensor(np.random.default_rng(3))
    assert one.shape == (len(SENSOR_FIELDS),)
    assert (one >= 0).all() and 0.05 < one[0] < 1
    assert np.array_equal(one, draw_sensor(np.random.default_rng(3)))
