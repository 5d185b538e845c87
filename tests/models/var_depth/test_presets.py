import torch

from nearfar.encoders.photo import PRESETS as ENCODERS
from nearfar.encoders.photo import PhotoEncoder
from nearfar.models.var_depth.network import VarDepthNetwork
from nearfar.models.var_depth.presets import COMPAT, GEO, PRESETS, TINY, TINY_CROSS, TINY_PHOTO
from nearfar.tokenizers.presets import TINY_DEPTH10


def test_presets_can_be_built_and_are_what_they_say():
    for name, config in PRESETS.items():
        with torch.device("meta"):
            network = VarDepthNetwork(config)
        assert len(network.config.tokenizer.scales) == 10, name
    assert GEO.has_null and GEO.spatial == "ladder" and not COMPAT.has_null
    assert (TINY.photo, TINY.semantics_width) == ("encoder", 208)  # the tiny encoder's
    assert TINY_CROSS.spatial == "none"
    assert TINY.tokenizer == TINY_DEPTH10  # so that a file of that preset fits
    assert TINY_PHOTO.semantics_width == PhotoEncoder(ENCODERS["photo"]).width
    assert TINY_PHOTO.tokenizer == TINY.tokenizer  # so that a tiny model lends its own
