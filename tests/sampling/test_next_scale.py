"""Every scale sees the sum of those before it, the first sees nothing; the sum comes back."""

import torch

from nearfar.sampling.next_scale import sample_scales


class Doubling:
    """Scale k is 2^k cells wide; the sum lives at the finest."""

    def inputs_of_next_scale(self, f_hat, *, scale):
        return torch.nn.functional.adaptive_avg_pool2d(f_hat, 2 ** (scale + 1))

    def accumulate(self, f_hat, codes, *, scale):
        assert codes.shape[-1] == 2**scale
        return f_hat + torch.nn.functional.interpolate(codes, size=f_hat.shape[-2:])


def test_scales_add_up():
    seen = []

    def codes_at(inputs, scale):
        seen.append(None if inputs is None else (inputs.shape[-1], float(inputs.mean())))
        return torch.full((1, 1, 2**scale, 2**scale), float(10**scale))

    f_hat = sample_scales(Doubling(), torch.zeros(1, 1, 4, 4), count=3, codes_at=codes_at)
    assert seen == [None, (2, 1.0), (4, 11.0)]
    assert torch.equal(f_hat, torch.full((1, 1, 4, 4), 111.0))
