"""Parts of the script, as the agent found them in the running process."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .learning_facts import LearningFacts


@dataclass(frozen=True, kw_only=True)
class LoaderFacts:
    """One `DataLoader` (or its replacement)."""

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
    """Batches per epoch; None if the loader does not say."""
    length_samples: int | None
    """Samples that an epoch draws, by the sampler."""
    where: str | None = None
    """`file:line` that created it."""
    dataset_samples: int | None = None
    """Samples that there are: a sampler may draw each several times, or only some of them."""
    duplicates_fraction: float | None = None
    """Share of delivered samples that another worker delivered too; None if it was not checked."""
    sampler_class: str = ""
    """Class that draws the order of an epoch; "" in profiles stored by 0.2 and older."""
    sampler_where: str | None = None
    """`file:line` of its `__iter__`, if it is the script's own."""
    drop_last: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One root module that took part in the updates."""

    class_name: str
    parameters: int
    trainable_parameters: int
    parameter_dtypes: Mapping[str, int]
    """Elements by dtype, for example {"float32": 11_200_000}."""
    device: str
    """Type of the device that holds its first parameter."""
    layers: Mapping[str, int]
    """Modules by class name, for example {"Conv2d": 20, "BatchNorm2d": 20, "Linear": 1}."""
    channels_last: bool | None
    """True if 4-d weights are in channels_last; None if there are none."""
    compiled: bool
    data_parallel: bool
    """Wrapped in `nn.DataParallel`."""
    distributed: bool
    """Wrapped in `DistributedDataParallel` or FSDP."""
    devices: tuple[str, ...] = ()
    """Devices that hold parameters, by name and number: cpu, cuda:0 …"""

    @property
    def parameter_bytes(self) -> int:
        return sum(_tensor_bytes(f"{dtype}[{count}]") for dtype, count in self.parameter_dtypes.items())


@dataclass(frozen=True, kw_only=True)
class OptimizerFacts:
    class_name: str
    main: bool
    """True if it owns the most parameters; its `step()` ends an update."""
    parameters: int
    """Elements that it owns."""
    tensors: int
    groups: int
    fused: bool | None
    """None if the class has no such option."""
    foreach: bool | None
    steps_per_update: float
    learning_rate: float | None
    momentum: float | None
    has_schedule: bool | None
    """True if a scheduler of `torch.optim.lr_scheduler` drives it, or its rate was seen to change."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Switches of torch as set inside the loop."""

    num_threads: int
    anomaly_detection: bool
    launch_blocking: bool
    profiler_on: tuple[str, ...]
    """Profilers and tracers found running, by name; never advisor's own."""
    matmul_precision: str
    """`torch.get_float32_matmul_precision()`: highest, high, medium."""
    cudnn_tf32: bool
    cudnn_benchmark: bool
    deterministic: bool
    autocast_dtype: str | None
    """Dtype of the autocast that forwards ran under; None without autocast."""
    grad_scaler: bool
    omp_num_threads: str | None
    """The environment variable as the script sees it."""


@dataclass(frozen=True, kw_only=True)
class LimitSetter:
    """A line of the script that limits threads or CPUs, itself or through a library that it calls or imports."""

    what: str
    """OMP_NUM_THREADS, MKL_NUM_THREADS, torch.set_num_threads or affinity."""
    value: str
    """The value it set; for the affinity the number of CPUs."""
    file: str
    line: int
    function: str
    library: str = ""
    """The installed package that does it; "" if the line does it itself."""


@dataclass(frozen=True, kw_only=True)
class CpuLimits:
    """Limits of the training process, read in it."""

    allowed: int
    """CPUs on which some thread of the process may run."""
    at_start: int
    """The same before the script's first line."""
    setters: tuple[LimitSetter, ...] = ()
    """Lines that set a limit since then, the last one of each kind."""

    def set_by(self, *whats: str, value: str | None = None) -> tuple[LimitSetter, ...]:
        """Return the setters of these kinds (and of this value), in their order."""
        return tuple(one for one in self.setters if one.what in whats and value in (None, one.value))


@dataclass(frozen=True, kw_only=True)
class Argument:
    """An option of the script's own command line, as declared to `argparse`.

    Options that hold free text are left out: a key or a path is nobody's business.
    """

    flags: tuple[str, ...]
    """Flags as typed, for example ("-b", "--batch-size")."""
    name: str
    """Name of the attribute that holds it."""
    kind: Literal["int", "float", "bool", "choice"]
    default: int | float | bool | str | None
    value: int | float | bool | str | None
    """Value in this run."""
    typed: bool
    """True if it was given on the command line; otherwise the value is the default."""
    choices: tuple[str, ...] = ()
    only_ahead: bool = False
    """True if it cannot be added at the end of the command line, which belongs to another parser."""


@dataclass(frozen=True, kw_only=True)
class GraphBreak:
    """Place at which code that torch compiles goes back to Python."""

    reason: str
    """First line of torch's own words."""
    file: str
    line: int
    function: str


@dataclass(frozen=True, kw_only=True)
class Recompiling:
    """Compilations of the script's own from the end of its first update on."""

    times: int
    """Guards of one function that failed, of the function with the most."""
    seconds: float
    """Time in the compiler."""
    elapsed_s: float
    """Time in which that was."""
    reason: str
    """Reason for the last of them, in torch's words."""


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Trained weights that a library has for a model of the script."""

    class_name: str
    parameters: int
    call: str
    """Call that makes the model with them."""


@dataclass(frozen=True, kw_only=True)
class ScriptFacts:
    """Further facts that settings depend on; None where they could not be seen."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """Imported package → version."""
    micro_steps: int = 1
    """Backwards of an update."""
    batches_per_update: float | None = None
    """Batches that the train loader delivers for an update; None without a loader."""
    closures: bool = False
    """The optimizer is stepped with a closure, which runs the forward pass itself."""
    evaluation_keeps_outputs: bool = False
    """Evaluations keep the model's whole outputs until their end."""
    metrics_at: tuple[str, int, str] | None = None
    """File, line and name of the function that a library's Trainer keeps them for."""
    environment: bool = False
    """An object with the methods `reset` and `step` is used, and no loader: rollouts, most likely."""
    retains_graph: bool = False
    """Backward keeps its graph (`retain_graph=True`)."""
    repeated_backwards: float = 0.0
    """Backwards of an update through a forward that another one has run through before; an average."""
    compiled_code: bool = False
    """The script uses torch.compile itself."""
    recompiling: Recompiling | None = None
    """None if it was not seen to recompile anything."""
    compiled_breaks: tuple[GraphBreak, ...] = ()
    """Places that split what it compiles, each once."""
    checkpointing: bool = False
    """The script checkpoints activations itself."""
    repeated_blocks: str | None = None
    """The model's repeated blocks in words: "12 Block with 97% of the parameters"."""
    repeated_block_count: int = 0
    """Their number."""
    cxx: bool | None = None
    """A C++ compiler was found."""
    triton: bool | None = None
    """Triton is installed."""
    dataset_draws: bool | None = None
    """The training's dataset draws random numbers when it is read."""
    collate_draws: bool | None = None
    """Collating its samples does."""
    answers_batches: bool | None = None
    """It answers a list of indices with the same batch as its samples make."""
    dataset_generators: tuple[str, ...] | None = None
    """Paths to the random generators that the dataset holds."""
    generators_fault: str | None = None
    """Reason why workers would repeat their draws."""
    workers_repeat: bool | None = None
    """Two of the script's workers drew the same random numbers, from states that torch does not seed in workers."""
    epochs_repeat: bool | None = None
    """Workers drew the same in their second epoch as in their first."""
    fetching_threads: float | None = None
    """Threads that a worker keeps busy while it fetches; None without workers, or if they hide their work."""
    frozen_parts: tuple[str, ...] = ()
    """Parts of the called models that have parameters, none of which requires a gradient."""
    unused_gradients: int = 0
    """Elements of the parameters that get gradients and belong to no optimizer."""
    float64_lines: tuple[str, ...] = ()
    """Lines of the script's text that ask for float64, as `file:line`; empty unless a parameter is one."""
    published_weights: tuple[PublishedWeights, ...] = ()
    """Called models of libraries that have random weights, and could have trained ones."""
    loader_starts: int = 0
    """Epochs of the train loader that began."""
    critical_batch: float | None = None
    """Samples per update beyond which larger batches hardly save updates; None if it is not known."""
    launches_limit: bool = False
    """The diagnosis is that an accelerator waits for its kernels to be launched."""
    loader_waits: bool = False
    """The diagnosis is that the loader waits and does not compute."""
    feeding_workers: int | None = None
    """Workers that would then feed the loop, by the times measured; None if these are not known."""


@dataclass(frozen=True, kw_only=True)
class Padding:
    """Padding in the batches that the model got, over some of the first forwards."""

    fraction: float
    """Share of the tokens that are padding."""
    beyond_longest: float
    """Share of the tokens that lie beyond the longest sequence of their batch."""
    batches: int
    length: int
    """Longest padded length seen."""
    source: Literal["mask", "tokens"]
    """`mask` if a mask shows it, `tokens` if one token fills the ends of rows and stands nowhere else."""
    argument: str
    """Name of that argument of the model, or its place."""


@dataclass(frozen=True, kw_only=True)
class WorkerMemory:
    """Memory that one loader worker shares with no other process, of the worker that grew most."""

    first_bytes: int
    last_bytes: int
    path: str
    """Path to the largest container of Python objects that the dataset holds."""
    records: int
    records_bytes: int
    """Estimated bytes of all of them."""


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """Ranks that train together, and what sends their gradients."""

    backend: str
    """Backend that sends the gradients: gloo, nccl, mpi …"""
    wrapper: Literal["ddp", "fsdp", "none"]
    bucket_bytes: tuple[int, ...] = ()
    """Messages in which DDP sends the gradients of one backward."""
    bucket_cap_bytes: int | None = None
    """Size that DDP was told to fill its buckets to."""
    find_unused: bool | None = None
    """DDP looks for parameters without gradients in every backward."""
    static_graph: bool = False
    unused_bytes: int = 0
    """Bytes of such parameters that it has found."""
    comm_hook: str = ""
    """Hook that compresses or sends the gradients in its own way."""


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
    """True if all batches of the window had the same shapes."""
    padding: Padding | None = None
    """None if no argument of the model shows padding, or its absence."""
    worker_memory: WorkerMemory | None = None
    """None if no worker was seen to grow beside a dataset of many Python objects."""
    world_size: int = 1
    ranks: RankFacts | None = None
    """None for a process that is alone."""
    events: tuple[str, ...] = ()
    """Other observations of the agent: trackers put offline, network connections, caught out-of-memory errors."""
    facts: ScriptFacts = field(default_factory=ScriptFacts)
    arguments: tuple[Argument, ...] = ()
    """The script's own options; empty if it does not use `argparse`."""
    learning: LearningFacts = field(default_factory=LearningFacts)
    cpu_limits: CpuLimits | None = None
    """None in profiles of older versions."""

    @property
    def batch_bytes(self) -> int | None:
        """Bytes of one batch's tensors as the model got them; None if no shapes were seen."""
        sizes = [_tensor_bytes(shape) for shape in self.batch_shapes]
        return sum(sizes) if sizes else None

    @property
    def train_loader(self) -> LoaderFacts | None:
        """Return the loader that feeds the updates; None if the script makes its own batches."""
        return next((loader for loader in self.loaders if loader.role == "train"), None)

    @property
    def batches_per_update(self) -> int:
        """Return the loader's batches that make up an update: a backward may have none of its own, or several."""
        return max(1, round(self.facts.batches_per_update or self.facts.micro_steps))

    @property
    def main_optimizer(self) -> OptimizerFacts | None:
        return next((optimizer for optimizer in self.optimizers if optimizer.main), None)


def _tensor_bytes(shape: str) -> int:
    """Return the bytes of one tensor written like "float32[64, 3, 32, 32]"; 0 for any other form."""
    match = re.fullmatch(r"(?P<dtype>\w+)\[(?P<dims>[\d, ]*)\]", shape.strip())
    if match is None:
        return 0
    # A name without a number (bool) has one byte.
    width = next((bits // 8 for bits in (64, 32, 16, 8) if match["dtype"].endswith(str(bits))), 1)
    return width * math.prod(int(size) for size in re.findall(r"\d+", match["dims"]))
