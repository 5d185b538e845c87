"""A recipe as frozen dataclasses: [model] what, [data] on what, [train] how, [log] where to.

Every field has a default where one makes sense; the file recipe.py fills them from TOML and names
the key when a value is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nearfar.errors import ConfigError

Scalar = bool | int | float | str
SCHEDULES = ("constant", "cosine", "linear", "poly")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What is trained: a kind of targets.py, its preset, and the frozen networks it stands on."""

    kind: str
    preset: str = "tiny"
    encoder: str = ""  # registry name or weights file; only for kinds that stand on one
    tokenizer: str = ""  # the same, for kinds that predict a tokenizer's codes
    backbone: str = ""  # of a package (frozen_parts.BACKBONES); only the photo encoder's kind
    licence: str = "Apache-2.0"  # of the exported weights


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What it is trained on.

    size: [H, W] as rendered or read; crop: [h, w] that the network sees, [0, 0] = as rendered.
    crops: one of them is drawn for each training batch instead, for nets that see mixed shapes.
    reuse: how often an image is seen on average before the pool of scenes grows, up to count.
    first: how many the pool has from the first step on, for runs that go on from trained weights.
    prefetch: batches made ahead in a thread; -1 is 2 on a GPU and 0 on a CPU, where the thread
    would take the network's cores.

    source="dataset" reads dataset (`nearfar data list`) below root; split: empty = the card's
    first; options: the reader's. mix: several of them, [[data.mix]] tables as `MixPart`; with
    source="scenes" `ScenePart`, one size a batch. on_error: raise
    or skip; min_valid, min_depth, max_depth: see data/adapt.py. workers: threads that decode.
    """

    source: str = "scenes"
    seed: int = 0
    size: tuple[int, int] = (120, 160)
    crop: tuple[int, int] = (96, 128)
    crops: tuple[tuple[int, int], ...] = ()
    count: int = 100_000
    reuse: float = 4.0
    first: int = 0
    shard: int = 256
    path: str = ""  # CSV or JSONL list of an own folder
    validation_path: str = ""
    validation_count: int = 64
    prefetch: int = -1
    dataset: str = ""
    root: str = ""
    split: str = ""
    list_file: str = ""
    validation_split: str = ""
    mix: tuple[dict[str, object], ...] = ()
    on_error: str = "raise"
    min_valid: float = 0.0
    min_depth: float = 0.0
    max_depth: float = 0.0
    commercial_only: bool = False  # refuse datasets that do not clearly allow commercial use
    workers: int = 0
    options: dict[str, object] = field(default_factory=dict)  # of the source
    augment: dict[str, object] = field(default_factory=dict)  # of the augmentation

    def __post_init__(self) -> None:
        _at_least("data", 1, shard=self.shard, count=self.count)
        _at_least("data", 0, validation_count=self.validation_count, seed=self.seed)
        _at_least("data", 0, first=self.first)
        _above_zero("data", reuse=self.reuse)
        if min(self.size) < 1 or (min(self.crop) < 1 and self.crop != (0, 0)):
            raise ConfigError("data.size", f"{self.size} and crop {self.crop} must be positive")
        if self.source == "folder" and not self.path:
            raise ConfigError("data.path", "empty", "Name the CSV or JSONL list of the folder")
        if self.source == "dataset" and bool(self.dataset) == bool(self.mix):
            finding = "both given" if self.mix else "neither given"
            raise ConfigError("data.dataset and data.mix", finding, "Give one of them")
        _one_of("data.on_error", self.on_error, ("raise", "skip"))
        _at_least("data", 0, min_valid=self.min_valid, workers=self.workers)
        _at_least("data", 0, min_depth=self.min_depth, max_depth=self.max_depth)


DATASET_KEYS = ("dataset", "root", "split", "list_file", "validation_split", "mix", "on_error",
                "min_valid", "min_depth", "max_depth", "commercial_only", "workers")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class MixPart:
    """One dataset of a mixture. weight: its share of the samples drawn, 0 = by its size."""

    dataset: str
    root: str = ""
    split: str = ""
    list_file: str = ""
    validation_split: str = ""
    weight: float = 0.0
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("data.mix", 0, weight=self.weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenePart:
    """Rendered scenes of one size. weight: how many of all parts' samples come from it; options:
    of the scenes, over those of [data]; seed: added to that of [data]."""

    size: tuple[int, int]
    weight: int = 1
    seed: int = 0
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("data.mix", 1, weight=self.weight)
        _at_least("data.mix", 0, seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How it is trained; batch_size is per process and per accumulated part.

    init_from: weights file to start from. init_strict: false lets tensors be missing or of other
    shape; they are then listed in the log. frozen: starts of names that are not trained.
    max_seconds: stop (resumable) after that long, 0 = no.
    optimizer: adamw, or muon (muon_rate for matrices; adamw_names: parts of names left to AdamW).
    rates: shares of the learning rate by part of a name. layer_decay: what a block of `decayed`
    (part of a name) has of the next one's rate; 1 = all alike. dtype: bf16 (autocast over fp32
    weights), fp32, or auto: bf16 where the device is faster with it. shard: weights, averages and
    optimizer states split over the processes (FSDP2), for networks that one GPU cannot hold.
    """

    steps: int
    batch_size: int = 16
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    muon_rate: float = 0.02
    adamw_names: tuple[str, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    decayed: str = "encoder.backbone."
    warmup: int = 100
    schedule: str = "cosine"
    final_fraction: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    dtype: str = "auto"
    channels_last: bool = False
    compile: bool = False
    shard: bool = False
    threads: int = 0
    seed: int = 0
    init_from: str = ""
    init_strict: bool = True
    frozen: tuple[str, ...] = ()
    max_bad_steps: int = 20
    max_seconds: float = 0.0
    objective: dict[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("train", 1, steps=self.steps, batch_size=self.batch_size)
        _at_least("train", 1, accumulate=self.accumulate, max_bad_steps=self.max_bad_steps)
        _at_least("train", 0, warmup=self.warmup, threads=self.threads, seed=self.seed)
        _at_least("train", 0, weight_decay=self.weight_decay, max_seconds=self.max_seconds)
        _above_zero("train", learning_rate=self.learning_rate, clip_norm=self.clip_norm)
        _above_zero("train", muon_rate=self.muon_rate)
        _one_of("train.optimizer", self.optimizer, ("adamw", "muon"))
        _one_of("train.schedule", self.schedule, SCHEDULES)
        _one_of("train.dtype", self.dtype, ("auto", "bf16", "fp32"))
        for key, value in (("ema_decay", self.ema_decay), ("betas", max(self.betas))):
            if not 0 <= value < 1:
                raise ConfigError(f"train.{key}", f"{value} is not in 0..1 (1 excluded)")
        if self.shard and (self.compile or self.channels_last):
            finding = "compile or channels_last with shard"
            raise ConfigError("train.shard", f"{finding} is not supported", "Leave one out")
        _above_zero("train", layer_decay=self.layer_decay)
        if self.layer_decay > 1:
            raise ConfigError("train.layer_decay", f"{self.layer_decay} is above 1")
        _above_zero("train.rates", **self.rates)
        if not 0 <= self.final_fraction <= 1:
            raise ConfigError("train.final_fraction", f"{self.final_fraction} is not in 0..1")


LAYER_KEYS = ("rates", "layer_decay", "decayed")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogConfig:
    """Where results go, and how often; 0 switches a thing off.

    folder: run folder, empty = runs/<name of the recipe>. checkpoint_seconds and checkpoint_every
    both count; keep: how many checkpoints stay. export: weights.safetensors at every checkpoint.
    """

    folder: str = ""
    every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 0
    checkpoint_seconds: float = 120.0
    keep: int = 2
    pictures: int = 8
    preview_steps: int = 4
    export: bool = True
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _at_least("log", 1, every=self.every, keep=self.keep, preview_steps=self.preview_steps)
        _at_least("log", 0, validate_every=self.validate_every, pictures=self.pictures)
        _at_least("log", 0, checkpoint_every=self.checkpoint_every)
        _at_least("log", 0, checkpoint_seconds=self.checkpoint_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One training run. name: stem of its file."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    log: LogConfig
    name: str = "run"


def _at_least(section: str, low: float, **values: float) -> None:
    for key, value in values.items():
        if value < low:
            raise ConfigError(f"{section}.{key}", f"{value} is below {low}")


def _above_zero(section: str, **values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ConfigError(f"{section}.{key}", f"{value} is not above 0")


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(key, f"unknown value {value!r}", f"Use one of {', '.join(allowed)}")
