"""Every depth family from a file to hypotheses; what predicts nothing says so."""

from dataclasses import asdict, replace

import pytest
import torch
from micro_weights import family_network, filled, own_metadata

from nearfar.encoders.tiny_video import TinyVideoConfig, TinyVideoEncoder
from nearfar.errors import WeightsError
from nearfar.family import PredictorParts
from nearfar.models.dar.predictor import DARPredictor
from nearfar.models.depthart.predictor import DepthARTPredictor
from nearfar.models.ppd.presets import VIDEO_TINY
from nearfar.models.ppd.video_network import new_video_network
from nearfar.models.ppd.video_predictor import PPDVideoPredictor
from nearfar.models.var_depth.predictor import VarDepthPredictor
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind
from nearfar.weights import registry
from nearfar.weights.load import load_predictor
from nearfar.weights.predictors import build_predictor, require_depth, semantics_width
from nearfar.weights.safe import write_safetensors

CLASSES = {"depthart": DepthARTPredictor, "var_depth": VarDepthPredictor, "dar": DARPredictor}
TAGS = {"depthart": "tiny", "var_depth": "tiny", "dar": ""}


@pytest.fixture
def run(tmp_path, tiny):
    """A folder as `nearfar train` leaves it: halves and metadata; its encoder beside it, if any."""

    def make(family, *, tag=None, on_encoder=True):
        network = family_network(family, on_encoder=on_encoder)
        tag = TAGS[family] if tag is None else tag
        state = {
            k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()
        }
        metadata = own_metadata(family, tag, asdict(network.config), preset="custom")
        write_safetensors(tmp_path / family / "weights.safetensors", state, metadata)
        if tag:
            own = own_metadata("tiny_encoder", "")
            path = tmp_path / family / "encoder.safetensors"
            write_safetensors(path, tiny.state_dict(), own)
        return tmp_path / family

    return make


def predict(predictor, count=1):
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    return predictor.predict(
        image,
        PredictConfig(steps=predictor.default_steps),
        area=predictor.default_area,
        generators=[torch.Generator().manual_seed(seed) for seed in range(count)],
    )


@pytest.mark.parametrize("family", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_from_a_run_folder_to_depth(run, family, dtype):
    model = load_predictor(run(family), dtype=dtype)
    assert isinstance(model.predictor, CLASSES[family])
    assert (model.entry.family, model.entry.name) == (family, family)
    found = predict(model.predictor, 2)
    assert len(found.depth_Shw) == 2 and found.depth_Shw.isfinite().all()
    assert found.depth_Shw.dtype == torch.float32
    metric = DepthKind.METRIC if family == "dar" else DepthKind.AFFINE_LOG_DEPTH
    assert found.kind is metric
    assert found.reference.name == "tiny"  # of DAR, the encoder inside it


@pytest.mark.parametrize("family", ["depthart", "var_depth"])
def test_without_semantics_an_encoder_only_gives_metres(run, family):
    folder = run(family, tag="", on_encoder=False)
    alone = load_predictor(folder)
    assert semantics_width(alone.predictor.network) == 0
    assert predict(alone.predictor).reference is None
    encoder = run("depthart", tag="tiny") / "encoder.safetensors"
    if family == "depthart":
        folder = run(family, tag="", on_encoder=False)
    both = load_predictor(folder, encoder=encoder)
    assert both.predictor.encoder is None
    assert predict(both.predictor).reference.name == "tiny"
    assert torch.equal(predict(both.predictor).depth_Shw, predict(alone.predictor).depth_Shw)


def test_dar_takes_no_other_encoder_and_the_area_of_its_card(run):
    folder = run("dar")
    (folder / "card.json").write_text('{"default_area": 6144}')
    assert load_predictor(folder).predictor.default_area == 6144
    other = run("depthart") / "encoder.safetensors"
    with pytest.raises(WeightsError, match="it has its own inside"):
        load_predictor(folder, encoder=other)


def test_guidance_and_choice_are_those_of_the_card_and_the_family_s_without(run):
    folder = run("var_depth")
    predictor = load_predictor(folder).predictor
    assert (predictor.guidance_scale, predictor.choose.mode) == (0.0, "sample")
    (folder / "card.json").write_text('{"default_guidance": 1.5, "default_mode": "mean_k"}')
    predictor = load_predictor(folder).predictor
    assert (predictor.guidance_scale, predictor.choose.mode) == (1.5, "mean_k")


def test_a_missing_encoder_is_named(run):
    folder = run("depthart", tag="")
    with pytest.raises(WeightsError, match="encoder tag '' is unknown"):
        load_predictor(folder)


def test_what_predicts_nothing_is_refused_before_any_download(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("downloaded for nothing")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", never)
    for name, words in {
        "var-d16": "a VAR file, which makes images of classes",
        "switti-512": "a Switti file, which makes images of texts",
        "var-vae": "a tokenizer, not a depth model",
        "moge2-vitl": "an encoder",
    }.items():
        with pytest.raises(WeightsError, match=f"^{name}: {words}"):
            load_predictor(name)


def test_every_family_of_the_table_is_a_depth_model_or_says_what_it_is():
    for entry in registry.ENTRIES.values():
        if entry.embedded and not entry.is_encoder:
            require_depth(entry.family, entry.name)
        elif entry.is_encoder or entry.name.startswith(("var-", "switti-")):
            with pytest.raises(WeightsError):
                require_depth(entry.family, entry.name)


@pytest.mark.parametrize("sees_clips", [True, False])
def test_a_video_network_with_the_encoder_beside_it(tmp_path, tiny, sees_clips):
    config = replace(
        VIDEO_TINY, width=32, depth=4, heads=2, semantics_width=tiny.width, temporal_before=(3,),
        reference_from=3,
    )  # fmt: skip
    encoder, tag = tiny, "tiny"
    if sees_clips:
        encoder, tag = TinyVideoEncoder(TinyVideoConfig(stem=tiny.config, pairs=1)), "tiny_video"
    network = filled(new_video_network(config, generator=torch.Generator().manual_seed(0)))
    kinds = {"tiny": "tiny_encoder", "tiny_video": "tiny_video_encoder"}
    for file, family, part in (("weights", "ppd_video", network), ("encoder", kinds[tag], encoder)):
        metadata = own_metadata(family, tag, asdict(part.config), preset="custom")
        state = filled(part).state_dict()
        write_safetensors(tmp_path / f"{file}.safetensors", state, metadata)
    loaded = load_predictor(tmp_path)
    predictor = loaded.predictor
    assert isinstance(predictor, PPDVideoPredictor) and loaded.entry.family == "ppd_video"
    frame = predictor.prepare(torch.full((3, 60, 80), 0.5), area=32 * 48)
    found = predictor.predict_window(
        frame[None], references=None, steps=1, generator=torch.Generator().manual_seed(0)
    )
    assert found.depth_Thw.shape == (1, *frame.shape[1:])
    assert len(found.metres) == (1 if sees_clips else 0)


def test_an_encoder_of_clips_is_refused_for_photos(tiny):
    encoder = TinyVideoEncoder(TinyVideoConfig(stem=tiny.config, pairs=1))
    parts = PredictorParts(network=None, encoder=encoder, dtype=torch.float32)
    with pytest.raises(WeightsError, match="tiny_video: an encoder of clips"):
        build_predictor("ppd", parts)
