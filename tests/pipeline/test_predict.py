"""Model.predict with a model of known behavior: contract, seeds, sizes, errors."""

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.errors import ConfigError, InputError, ResourceError, WeightsError
from nearfar.pipeline.predict import _average, network_image
from nearfar.result import DepthKind


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("depth", "valid", "sky", "intrinsics")
    )


def test_result_follows_the_contract(make_model, rgb):
    result = make_model().predict(rgb, steps=3, seed=5)
    assert result.depth.shape == (60, 90)
    assert result.depth.dtype == np.float32
    assert result.kind is DepthKind.METRIC
    assert result.valid.all()
    assert (result.depth > 0).all()
    assert not result.sky.any()
    assert result.uncertainty is None
    assert result.metric_reference == "fake"
    assert result.fov_x_deg == 60
    assert result.intrinsics[0, 0] == pytest.approx(45 / np.tan(np.radians(30)))
    assert (result.model, result.licence, result.weights_sha256) == ("fake", "none", "0" * 64)
    assert (result.seed, result.steps) == (5, 3)
    assert result.seconds > 0
    assert np.array_equal(result.image, rgb)
    assert len(result.points()) == 60 * 90


def test_options_a_family_lacks_are_refused(make_model, rgb):
    model = make_model()
    for name, value in (("guidance_scale", 2.0), ("stop_at", 1), ("ensemble_start", "first")):
        with pytest.raises(ConfigError, match=f"^{name}: fake .*Leave it out$"):
            model.predict(rgb, **{name: value})
    assert model._predictor.calls == []
    with pytest.raises(TypeError, match="guidance"):
        model.predict(rgb, guidance=2.0)


def test_networks_are_named_once(make_model):
    model, network = make_model(), torch.nn.Linear(2, 2)
    assert model.networks == {}
    model._predictor._network, model._predictor.metric_encoder = network, network
    assert model.networks == {"network": network}


def test_a_model_shows_what_it_is_in_one_line(make_model):
    model = make_model()
    model._predictor._network = torch.nn.Linear(1000, 1000)
    shown = repr(model)
    assert shown.startswith("<Model fake: network 1.0 M parameters, default steps ")
    assert "licence none" in shown and "\n" not in shown and len(shown) < 200


def test_metres_are_those_of_the_reference(make_model, rgb):
    result = make_model(noise=0.0, default_area=60 * 90).predict(rgb)
    rows = np.linspace(1, 0, 60)[:, None]
    metres = np.expm1(2 * (0.7 * rows - 0.3 * rgb.mean(axis=2) / 255 + 0.5))
    assert np.abs(result.depth / metres - 1).max() < 1e-3


def test_without_metres_the_kind_is_told(make_model, rgb):
    for result in (
        make_model().predict(rgb, metric=False),
        make_model(reference_name=None).predict(rgb),
    ):
        assert result.kind is DepthKind.AFFINE_LOG_DEPTH
        assert result.metric_reference is None
        assert result.depth[5, 45] > result.depth[-5, 45]  # larger is farther
    assert result.intrinsics is None
    assert result.sky is None


def test_every_form_of_a_photo_gives_the_same(make_model, rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    chw = torch.from_numpy(rgb.transpose(2, 0, 1).copy()).float() / 255
    forms = [rgb, Image.fromarray(rgb), chw, chw.numpy(), tmp_path / "photo.png"]
    forms.append(str(tmp_path / "photo.png"))
    model = make_model()
    first, *others = [model.predict(form) for form in forms]
    assert all(same(first, other) for other in others)


def test_lists_of_mixed_sizes_do_not_depend_on_batch_or_order(make_model, rgb):
    model = make_model()
    photos = [rgb, rgb[:33, :71], rgb[:, ::-1].copy()]
    alone = [model.predict(photo, seed=3, ensemble_size=2) for photo in photos]
    together = model.predict(photos, seed=3, ensemble_size=2)
    backwards = model.predict(photos[::-1], seed=3, ensemble_size=2)[::-1]
    assert [r.size_hw for r in together] == [(60, 90), (33, 71), (60, 90)]
    for one, two, three in zip(alone, together, backwards):
        assert same(one, two)
        assert same(one, three)
    assert model.predict([]) == []


def test_seed_decides(make_model, rgb):
    model = make_model()
    assert same(model.predict(rgb, seed=1), model.predict(rgb, seed=1))
    assert not same(model.predict(rgb, seed=1), model.predict(rgb, seed=2))
    state = torch.get_rng_state()
    model.predict(rgb)
    assert torch.equal(state, torch.get_rng_state())


def test_hypotheses_are_the_same_whatever_the_ensemble(make_model, rgb):
    """The first of three maps is the map of an ensemble of one."""
    seen = []

    class Spy:
        default_steps, default_area = 4, 100

        def predict(self, image_3HW, config, *, area, generators):
            seen.append([torch.rand(1, generator=g).item() for g in generators])
            raise InputError("spy", "seen")

    model = make_model()
    model._predictor = Spy()
    for size in (1, 3):
        with pytest.raises(InputError):
            model.predict(rgb, ensemble_size=size)
    assert seen[0][0] == seen[1][0]
    assert len(set(seen[1])) == 3


def test_ensemble_gives_uncertainty_in_metres(make_model, rgb):
    result = make_model(noise=0.05).predict(rgb, ensemble_size=5)
    assert result.uncertainty.shape == result.depth.shape
    # noise 0.05 in the fake's map is 0.1 in ln(metres + 1)
    relative = result.uncertainty / (result.depth + 1)
    assert float(np.mean(relative)) == pytest.approx(0.1, rel=0.3)
    single = make_model(noise=0.05).predict(rgb).depth
    quiet = make_model(noise=0.0).predict(rgb).depth
    assert np.abs(result.depth / quiet - 1).mean() < np.abs(single / quiet - 1).mean()


def test_upsampling_invents_no_depth(make_model, rgb):
    result = make_model(default_area=12 * 18).predict(rgb, ensemble_size=3)
    pairs = np.stack([result.depth.ravel(), result.uncertainty.ravel()])
    assert len(np.unique(result.depth)) <= 12 * 18
    # depth and uncertainty of a pixel come from the same cell
    assert len(np.unique(pairs, axis=1).T) <= 12 * 18


def test_sky_is_what_the_reference_leaves_out(make_model, rgb):
    rgb[:15] = (0, 0, 255)
    for metric in (True, False):
        result = make_model().predict(rgb, metric=metric, ensemble_size=2)
        assert result.sky[:13].all()
        assert not result.sky[17:].any()
        assert np.array_equal(np.isnan(result.depth), ~result.valid)
        assert np.array_equal(np.isnan(result.uncertainty), ~result.valid)
        assert not (result.valid & result.sky).any()


@pytest.mark.parametrize("rows", [0, 1, 3, 30, 60])
def test_sky_stays_sky_however_much_there_is(make_model, rgb, rows, caplog):
    """No share of sky at which the meaning of the map changes."""
    rgb[rows:] = (0, 0, 255)
    result = make_model(default_area=60 * 90).predict(rgb)
    assert result.kind is DepthKind.METRIC
    assert result.sky[rows + 1 :].all() and not result.valid[rows + 1 :].any()
    assert result.valid[: max(0, rows - 1)].all()
    assert bool(caplog.records) == (rows < 6)


def test_metres_that_a_reference_lacks_where_there_is_no_sky(make_model, rgb, monkeypatch):
    model = make_model()
    draw = model._predictor.predict
    monkeypatch.setattr(model._predictor, "predict", lambda *a, **k: _without_metres(draw(*a, **k)))
    result = model.predict(rgb)
    assert result.kind is DepthKind.AFFINE_LOG_DEPTH and result.valid.all()


def _without_metres(hypotheses):
    broken = hypotheses.reference._replace(depth_HW=hypotheses.reference.depth_HW * 0)
    return hypotheses._replace(reference=broken)


def test_what_is_transparent_is_invalid_and_neither_sky_nor_metres(make_model, rgb, tmp_path):
    alpha = np.zeros((60, 90, 1), np.uint8)
    alpha[10:50, 20:70] = 255
    rgba = np.concatenate([rgb, alpha], axis=2)
    rgba[:10, :, :3] = (0, 0, 255)  # would be sky
    Image.fromarray(rgba).save(tmp_path / "cutout.png")
    plain = make_model().predict(rgb)
    for source in (rgba, tmp_path / "cutout.png", Image.fromarray(rgba)):
        result = make_model().predict(source, ensemble_size=2)
        assert np.array_equal(result.valid, alpha[..., 0] > 0)
        assert not result.sky.any()
        assert np.isnan(result.uncertainty[~result.valid]).all()
        assert (result.image[~result.valid] == 128).all()
        assert np.abs(result.depth / plain.depth - 1)[result.valid].mean() < 0.1


def test_a_result_keeps_its_photo_when_the_buffer_is_used_again(make_model, rgb):
    from nearfar.io.images import Photo

    model, kept = make_model(), rgb.copy()
    for buffer in (rgb, torch.from_numpy(rgb), Photo(rgb_HW3=rgb)):
        result = model.predict(buffer)
        rgb[:] = 7
        assert np.array_equal(result.image, kept)
        rgb[:] = kept


@pytest.mark.parametrize("ambient", ["autocast", "float64", "meta"])
def test_the_callers_precision_changes_nothing(rgb, ambient):
    import nearfar

    plain = nearfar.load("ppd-tiny").predict(rgb, steps=1)
    try:
        if ambient == "float64":
            torch.set_default_dtype(torch.float64)
        if ambient == "meta":
            torch.set_default_device("meta")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=ambient == "autocast"):
            result = nearfar.load("ppd-tiny").predict(rgb, steps=1)
            assert torch.is_autocast_enabled("cpu") == (ambient == "autocast")
        if ambient == "float64":
            assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert np.array_equal(result.depth, plain.depth, equal_nan=True)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"stepz": 1}, TypeError, "no setting 'stepz'. Did you mean steps"),
        ({"zzz": 1}, TypeError, "no setting 'zzz'. Settings: steps, "),
        ({"steps": 1.5}, ConfigError, "steps: 1.5 is not a whole number"),
        ({"steps": "4"}, ConfigError, "steps: '4' is not a whole number"),
        ({"seed": None}, ConfigError, "seed: None is not a whole number"),
        ({"seed": True}, ConfigError, "seed: True is not a whole number"),
        ({"fov_x_deg": "60"}, ConfigError, "fov_x_deg: '60' is not a number"),
        ({"metric": "no"}, ConfigError, "metric: 'no' is not True or False"),
    ],
)
def test_settings_of_the_wrong_type_are_one_line(make_model, rgb, settings, kind, words):
    with pytest.raises(kind) as caught:
        make_model().predict(rgb, **settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert make_model().predict(rgb, steps=np.int64(3)).steps == 3


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (200, 10)])
def test_tiny_and_narrow_photos(make_model, size):
    picture = np.random.default_rng(0).integers(0, 200, (*size, 3), dtype=np.uint8)
    result = make_model().predict(picture, ensemble_size=2)
    assert result.size_hw == size
    assert np.isfinite(result.depth).all()


def test_field_of_view_and_settings_reach_the_network(make_model, rgb):
    model = make_model()
    result = model.predict(rgb, fov_x_deg=90, resolution=45, steps=7, ensemble_size=2)
    assert result.fov_x_deg == 90
    assert result.intrinsics[0, 0] == pytest.approx(45)
    assert model._predictor.calls == [{"steps": 7, "area": 30 * 45, "count": 2}]
    model.predict(rgb, resolution=0)
    assert model._predictor.calls[-1] == {"steps": 4, "area": 60 * 90, "count": 1}


def test_exif_focal_length_gives_the_camera(make_model, rgb, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    Image.fromarray(rgb).save(tmp_path / "p.jpg", exif=exif)
    result = make_model().predict(tmp_path / "p.jpg")
    focal = 50 * np.hypot(60, 90) / np.hypot(24, 36)
    assert result.intrinsics[0, 0] == pytest.approx(focal)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (3, "int is not a photo"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (np.full((3, 4, 4), 200.0), "0..1"),
        (np.full((3, 4, 4), np.nan), "0..1"),
        (np.zeros((4, 4, 7), np.uint8), "7"),
    ],
    ids=["type", "empty", "range", "nan", "channels"],
)
def test_things_that_are_no_photo(make_model, image, word):
    with pytest.raises(InputError, match=word):
        make_model().predict(image)


def test_impossible_settings_are_refused_before_any_work(make_model):
    model = make_model()
    with pytest.raises(ConfigError, match="steps"):
        model.predict("no such file.jpg", steps=0)
    assert model._predictor.calls == []


@pytest.mark.parametrize("fill", [float("nan"), float("inf")])
def test_a_network_that_gives_nan_is_an_error(make_model, rgb, fill):
    with pytest.raises(WeightsError, match="NaN or infinity at"):
        make_model(fill=fill).predict(rgb)


def test_a_constant_network_is_no_crash(make_model, rgb):
    result = make_model(fill=0.25).predict(rgb, ensemble_size=2)
    assert np.isfinite(result.depth).all()
    assert (result.depth > 0).all()


def test_out_of_memory_is_one_line(make_model, rgb):
    for fault in (MemoryError(), RuntimeError("can't allocate memory: you tried 1 TB")):
        with pytest.raises(ResourceError, match="smaller resolution"):
            make_model(fails=fault).predict(rgb)
    with pytest.raises(RuntimeError, match="a bug"):
        make_model(fails=RuntimeError("a bug")).predict(rgb)


def test_one_hypothesis_has_the_uncertainty_its_family_knows(make_model, rgb):
    model = make_model(reference_name=None)
    inner = model._predictor.predict

    def with_spread(image, config, **options):
        found = inner(image, config, **options)
        rows = torch.arange(found.depth_Shw.shape[1]).float()[:, None]
        return found._replace(spread_Shw=0.01 * (rows + 1).expand_as(found.depth_Shw))

    model._predictor.predict = with_spread
    alone = model.predict(rgb)
    assert alone.uncertainty.shape == (60, 90)
    assert 0 < alone.uncertainty[0].max() < alone.uncertainty[-1].min()
    several = model.predict(rgb, ensemble_size=3)
    assert not np.allclose(several.uncertainty[-1], alone.uncertainty[-1])


def test_values_and_order(rgb):
    image = network_image(rgb, area=100)
    assert image.shape == (3, 60, 90)
    assert image.dtype == torch.float32
    assert torch.equal(image[1, 7], torch.from_numpy(rgb[7, :, 1] / 255).float())


def test_average_of_blocks():
    picture = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    small = _average(picture, 3)
    blocks = picture[:9, :12].reshape(3, 3, 4, 3, 3).mean(axis=(1, 3))
    assert np.array_equal(small, np.floor(blocks + 0.5).astype(np.uint8))


def test_large_photos_are_averaged_to_at_least_twice_the_sides():
    picture = np.zeros((2048, 8192, 3), np.uint8)
    picture[:1024] = 255
    image = network_image(picture, area=256 * 1024)
    assert image.shape == (3, 512, 2048)
    assert image[:, :256].min() == 1
    assert image[:, 256:].max() == 0
    narrow = network_image(picture.reshape(2, -1, 3), area=1024)
    assert narrow.shape == (3, 1, 4_194_304)
