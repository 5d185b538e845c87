"""The time embedding equals the golden one and stays float32 under every precision."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from nearfar.layers.timestep import TimestepEmbedder, timestep_sinusoid

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "dit_tiny_io.safetensors"


def test_sinusoid_equals_golden():
    io = load_file(GOLDEN)
    # 1e-4: the last bit of a float32 frequency, times a timestep of 1000
    wave = timestep_sinusoid(io["freq.t"])
    torch.testing.assert_close(wave, io["freq.embedding256"], atol=1e-4, rtol=0)
    small = io["freq.t"] <= 1
    torch.testing.assert_close(wave[small], io["freq.embedding256"][small], atol=1e-6, rtol=0)


def test_float32_island():
    embedder = TimestepEmbedder(16).to(torch.bfloat16)
    times = torch.tensor([999, 1000])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = embedder(times)
    assert low.dtype == torch.float32
    assert torch.equal(low, embedder.float()(times))
