"""What the script is made of, as the agent found it in the running process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LoaderFacts:
    """One `DataLoader` (or what stands in its place)."""

    id: int
    role: Literal["train", "evaluation", "unused"]
    """`train`: its batches were followed by a backward."""
    class_name: str
    dataset_class: str
    iterable: bool
    """An `IterableDataset`: workers deliver everything several times unless it shards itself."""
    batch_size: int | None
    num_workers: int
    prefetch_factor: int | None
    pin_memory: bool
    persistent_workers: bool
    start_method: str | None
    """fork, spawn, forkserver; None without workers."""
    collate: str
    """Qualified name of the collate function."""
    length_batches: int | None
    """Batches an epoch; None where the loader does not say."""
    length_samples: int | None
    where: str | None = None
    """`file:line` that made it."""
    duplicates_fraction: float | None = None
    """Share of delivered samples that another worker delivered too; None where it was not looked at."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One root module that took part in the updates."""

    class_name: str
    parameters: int
    trainable_parameters: int
    parameter_dtypes: Mapping[str, int]
    """Elements by dtype, for example {"float32": 11_200_000}."""
    device: str
    layers: Mapping[str, int]
    """Modules by class name, for example {"Conv2d": 20, "BatchNorm2d": 20, "Linear": 1}."""
    channels_last: bool | None
    """Whether 4-d weights are in channels_last; None where there are none."""
    compiled: bool
    data_parallel: bool
    """Wrapped in `nn.DataParallel`."""
    distributed: bool
    """Wrapped in `DistributedDataParallel` or FSDP."""


@dataclass(frozen=True, kw_only=True)
class OptimizerFacts:
    class_name: str
    main: bool
    """Owns the most parameters; its `step()` ends an update."""
    parameters: int
    """Elements that it owns."""
    tensors: int
    groups: int
    fused: bool | None
    """None where the class has no such option."""
    foreach: bool | None
    steps_per_update: float
    learning_rate: float | None
    momentum: float | None
    has_schedule: bool | None
    """Whether a scheduler of `torch.optim.lr_scheduler` drives it, or its rate was seen to change."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Switches of torch as they stood inside the loop."""

    num_threads: int
    interop_threads: int
    anomaly_detection: bool
    launch_blocking: bool
    profiler_on: tuple[str, ...]
    """Profilers and tracers found running, by name; our own never among them."""
    matmul_precision: str
    """`torch.get_float32_matmul_precision()`: highest, high, medium."""
    cudnn_tf32: bool
    cudnn_benchmark: bool
    deterministic: bool
    autocast_dtype: str | None
    """The dtype of the autocast that forwards ran under; None without."""
    grad_scaler: bool
    omp_num_threads: str | None
    """The environment variable as the script sees it."""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """An option that the script's own command line takes, as `argparse` was told of it. Options that hold free text
    are left out: a key or a path is nobody's business."""

    flags: tuple[str, ...]
    """As they are typed, for example ("-b", "--batch-size")."""
    name: str
    """Of the attribute that holds it."""
    kind: Literal["int", "float", "bool", "choice"]
    default: int | float | bool | str | None
    value: int | float | bool | str | None
    """As it stood in this run."""
    typed: bool
    """It was given on the command line; else the value is the default."""
    choices: tuple[str, ...] = ()
    only_ahead: bool = False
    """It cannot be added at the end of the command line: what is there belongs to another parser."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    framework: Literal["plain", "accelerate", "transformers", "lightning"]
    device: str
    """Device type that the forward ran on: cpu, cuda, mps, xpu …"""
    models: tuple[ModelFacts, ...]
    loaders: tuple[LoaderFacts, ...]
    optimizers: tuple[OptimizerFacts, ...]
    flags: Flags
    batch_shapes: tuple[str, ...] = ()
    """Tensors of a batch, for example "float32[64, 3, 32, 32]"."""
    fixed_shapes: bool | None = None
    """Whether all batches of the window had the same shapes."""
    world_size: int = 1
    events: tuple[str, ...] = ()
    """What the agent noticed besides: trackers put offline, network connections, caught out-of-memory errors."""
    facts: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[Argument, ...] = ()
    """The script's own options; empty where it does not use `argparse`."""

    @property
    def train_loader(self) -> LoaderFacts | None:
        """The loader that feeds the updates; None where the script makes its own batches."""
        return next((loader for loader in self.loaders if loader.role == "train"), None)

    @property
    def main_optimizer(self) -> OptimizerFacts | None:
        return next((optimizer for optimizer in self.optimizers if optimizer.main), None)
