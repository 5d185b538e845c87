"""Small rooms with known depth as a data set, and estimators that know the truth."""

import json
from dataclasses import replace

import numpy as np

from nearfar.data.record import DepthRecord
from nearfar.eval.predictions import Estimate
from nearfar.eval.protocol import load_protocol, override, protocol_from_table

H, W = 24, 32


def truth(index, size_hw=(H, W)):
    """A floor with a box in front: smooth depth 2..6 m with a step, another for every index."""
    h, w = size_hw
    rows, columns = np.mgrid[0:h, 0:w] / np.array([h, w])[:, None, None]
    depth = 6 - 3.5 * rows + 0.4 * np.sin(5 * columns + index)
    depth[h // 3 : 2 * h // 3, w // 3 : w // 2 + index % 3] = 1.5 + 0.1 * index
    return depth.astype(np.float32)


FORMULAS = {  # value space -> a map of it from true depth
    "metric": lambda d: d,
    "scale": lambda d: 0.3 * d,
    "affine_depth": lambda d: 0.3 * d + 2,
    "affine_disparity": lambda d: 4 / d + 0.7,
    "affine_log1p": lambda d: 0.5 * np.log1p(d) - 0.2,
    "affine_log": lambda d: 0.5 * np.log(d) - 0.2,
}


class MiniData:
    """`count` samples in scenes of two; sample i is found again by the photo's corner."""

    def __init__(self, count=5, size_hw=(H, W), empty=()):
        self.count, self.size_hw, self.empty = count, size_hw, empty
        self.read = []

    @property
    def sample_ids(self):
        return [f"mini/{i // 2}/{i}" for i in range(self.count)]

    def record(self, index):
        self.read.append(index)
        depth = truth(index, self.size_hw)
        valid = np.ones(self.size_hw, bool)
        valid[:2, :3] = False
        if index in self.empty:
            valid[:] = False
        rgb = np.full((*self.size_hw, 3), 90, np.uint8)
        rgb[..., 1] = (depth * 30).astype(np.uint8)
        rgb[0, 0] = index
        h, w = self.size_hw
        return DepthRecord(
            sample_id=self.sample_ids[index],
            scene=str(index // 2),
            rgb_HW3=rgb,
            depth_HW=np.where(valid, depth, np.float32(0)),
            valid_HW=valid,
            intrinsics_33=np.array([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1.0]]),
            pose_44=np.eye(4),
            notes={"place": "indoor" if index % 2 else "outdoor"},
        )


class TruthEstimator:
    """Predicts the truth in a value space of its own, by a formula of the true depth."""

    def __init__(
        self, value_space="affine_log1p", formula=None, *, sigma=None, name="truth", size=None
    ):
        self.value_space, self.sigma, self.name, self.size = value_space, sigma, name, size
        self.formula = formula or (lambda d: 0.5 * np.log1p(d) - 0.2)
        self.calls = []

    @property
    def facts(self):
        return {"name": self.name, "family": self.value_space, "weights_sha256": "0" * 64}

    @property
    def gives_uncertainty(self):
        return self.sigma is not None

    def estimate(self, rgb_HW3):
        index = int(rgb_HW3[0, 0, 0])
        self.calls.append(index)
        depth = truth(index, rgb_HW3.shape[:2]).astype(np.float64)
        map_HW = self.formula(depth)
        sigma = None if self.sigma is None else self.sigma(depth)
        return Estimate(map_HW, self.value_space, None, sigma, 53.13, 0.25)


class Noisy(TruthEstimator):
    """The truth with its own noise for every photo, the same each time."""

    def __init__(self, noise, **more):
        super().__init__(**more)
        self.noise = noise

    def estimate(self, rgb_HW3):
        found = super().estimate(rgb_HW3)
        generator = np.random.default_rng(int(rgb_HW3[0, 0, 0]))
        noise = generator.normal(size=found.map_HW.shape)
        return found._replace(map_HW=found.map_HW + self.noise * noise)


def mini_protocol(name="synthetic", *changes):
    """A protocol of ours for the mini data: any count, no official list; its own locked id."""
    protocol = load_protocol(name)
    free = override(protocol, ["dataset.count=0", "dataset.fingerprint=", *changes])
    table = json.loads(json.dumps(free.table))
    return protocol_from_table(table | {"id": protocol.id, "status": protocol.status})


def same_values(a, b):
    """Whether two results have bit-equal metrics."""
    return {k: replace(v) for k, v in a.metrics.items()} == b.metrics
