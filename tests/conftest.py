"""A model without weights, for everything above the networks: fast, seeded, easy to check.

`make_model(...)` gives a `sonde.pipeline.predict.Model` whose depth follows image rows and
brightness. Nothing is patched: `Model` takes a `LoadedModel`, and this is one.
"""

import dataclasses

import numpy as np
import pytest


@dataclasses.dataclass
class FakePredictor:
    """Rows and brightness as affine log depth; every hypothesis has its own scale, shift, noise."""

    default_steps: int = 4
    default_area: int = 48 * 64
    noise: float = 0.01
    reference_name: str | None = "fake"
    fails: BaseException | None = None
    fill: float | None = None
    calls: list = dataclasses.field(default_factory=list)

    def predict(self, image_3HW, *, steps, area, generators):
        import torch

        from sonde.models.base import Hypotheses, MetricReference
        from sonde.result import DepthKind

        self.calls.append({"steps": steps, "area": area, "count": len(generators)})
        if self.fails is not None:
            raise self.fails
        height, width = image_3HW.shape[1:]
        shrink = (area / (height * width)) ** 0.5
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        small = torch.nn.functional.interpolate(image_3HW[None], size=size, mode="area")[0]
        rows = torch.linspace(1, 0, size[0])[:, None].expand(size)
        clean = 0.7 * rows - 0.3 * small.mean(dim=0)
        maps = []
        for generator in generators:
            scale, shift = 0.8 + 0.4 * torch.rand(2, generator=generator)
            noise = self.noise * torch.randn(size, generator=generator)
            maps.append(scale * (clean + noise) + shift - 1)
        depth = torch.stack(maps)
        if self.fill is not None:
            depth = torch.full_like(depth, self.fill)
        reference = None
        if self.reference_name is not None:
            is_blue = (small[2] > 0.9) & (small[0] < 0.1)
            metres = torch.expm1(2 * (clean + 0.5))
            reference = MetricReference(metres, ~is_blue, 60.0, self.reference_name)
        return Hypotheses(depth, DepthKind.AFFINE_LOG_DEPTH, small.permute(1, 2, 0), reference)


@pytest.fixture
def make_model():
    """A factory of models with a `FakePredictor`; its options are the fake's fields."""
    from sonde.pipeline.predict import Model
    from sonde.weights.load import LoadedModel
    from sonde.weights.registry import find

    def make(**options):
        entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
        return Model(LoadedModel(FakePredictor(**options), entry, "0" * 64))

    return make


@pytest.fixture
def rgb():
    """A photo [60,90,3] uint8: smooth colours with a box in the middle."""
    y, x = np.mgrid[0:60, 0:90]
    picture = np.stack([2 * x, 3 * y, x + y], axis=2).astype(np.uint8)
    picture[20:40, 30:60] = (250, 240, 230)
    return picture
