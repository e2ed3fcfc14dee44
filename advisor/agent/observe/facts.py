"""Description of the script: models, optimizers, switches, batches; the fields of `types.Workload` in plain JSON."""

from __future__ import annotations

import os
import sys
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..base import modes
from ..base.pass_through import passes_on
from ..base.patches import Patches
from ..base.slots import is_compiled
from ..base.tensors import tensors_in
from ..loop.clock import StepClock
from ..settings import checkpointing, compiling
from ..settings.blocks import numel
from ..settings.data_parallel import inside
from ..settings.script_checkpoints import CheckpointedCalls
from .compiled_breaks import breaks_seen
from .compiled_code import CompileTotals
from .environments import any_environment
from .float64_lines import float64_lines
from .kept_outputs import KeptOutputs, trainer_metrics
from .loaded_weights import LoadedWeights
from .padding import PaddingWatch
from .switches import profilers_on, switches

if TYPE_CHECKING:
    from types import FrameType

    from torch import Tensor, nn
    from torch.amp import GradScaler
    from torch.optim import Optimizer

    from ..loop.roots import Root

INSPECTED_FIRST = 64
INSPECT_EVERY = 16
"""Interval of inspected forwards after the first ones; it grows later. An inspection costs 5 to 40 µs."""
STACKS_INSPECTED = 3
MAX_SHAPES = 16

_FRAMEWORK_FILES = (
    ("transformers", os.path.join("transformers", "trainer")),
    ("lightning", os.path.join("lightning", "pytorch")),
    ("lightning", os.path.join("lightning", "fabric")),
    ("lightning", "pytorch_lightning"),
    ("lightning", "lightning_fabric"),
)
_PACKAGES = (
    "torch", "torchvision", "torchaudio", "numpy", "transformers", "accelerate", "lightning", "pytorch_lightning",
    "datasets", "tokenizers", "timm", "peft", "deepspeed", "diffusers", "sentence_transformers", "torch_geometric",
    "xformers", "flash_attn", "bitsandbytes", "apex", "webdataset", "ffcv", "kornia", "albumentations",
    "gym", "gymnasium", "pettingzoo", "stable_baselines3", "tianshou",
)  # fmt: skip


class FactsCollector:
    """Collector of facts: it watches the first forwards, and reads the rest on demand."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()
        self._scheduled: list[weakref.ref[Any]] = []
        self._rates: dict[int, tuple[float, ...]] = {}
        self._rate_changed: set[int] = set()
        self._forwards = 0
        self.inspecting = True
        """True if the last forward was inspected, and its backward is to be."""
        self._next_inspection = 0
        self._shapes: tuple[str, ...] = ()
        self._shapes_seen: set[tuple[Any, ...]] = set()
        self._device: str | None = None
        self._autocast: str | None = None
        self._framework: str | None = None
        self._scaler = False
        self._anomaly = False
        self._is_anomaly_enabled: Any = bool
        self._padding = PaddingWatch()
        self._profilers: set[str] = set()
        self._kept_outputs = KeptOutputs()
        self._weights = LoadedWeights()
        self._checkpointed = CheckpointedCalls()
        self.compiled = CompileTotals()

    def install(self) -> None:
        """Patch schedulers and loss scalers, to notice them when they are created and used."""
        import torch

        self._is_anomaly_enabled = torch.is_anomaly_enabled
        schedulers = torch.optim.lr_scheduler
        for name in ("LRScheduler", "ReduceLROnPlateau"):
            cls = getattr(schedulers, name, None)
            if cls is not None and "__init__" in vars(cls):
                self._patches.replace(cls, "__init__", self._noting_optimizer)
        self._patches.replace(torch.amp.GradScaler, "scale", self._noting_scaler)
        self._patches.replace(torch.nn.Module, "load_state_dict", self._weights.noting)
        self._checkpointed.watch()

    def remove(self) -> None:
        self._patches.restore()
        self._checkpointed.remove()

    # --- while it trains ----------------------------------------------------------------------------------------------

    def saw_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, changed: bool = False) -> None:
        """Inspect the arguments of a trained root's upcoming call; never raise.

        `changed`: settings are tried meanwhile. What they change (autocast, shapes) is not the script's own.
        """
        if changed and self._forwards >= INSPECTED_FIRST:
            self.inspecting = False
            return
        self._forwards += 1
        if self._forwards >= self._padding.next:
            self._padding.inspect(self._forwards, args, kwargs)
        self.inspecting = self._forwards >= self._next_inspection
        if not self.inspecting:
            return
        if self._forwards >= INSPECTED_FIRST:
            self._next_inspection = self._forwards + max(INSPECT_EVERY, self._forwards // INSPECT_EVERY)
        try:
            self._inspect(args, kwargs)
        except Exception:  # a user's own batch class may do anything when inspected
            return

    def saw_evaluated(self, root: Root, output: object) -> None:
        """Note the output of an evaluating call."""
        if root.owned:
            self._kept_outputs.saw(output, self._clock.updates)

    def saw_backward(self) -> None:
        """Check for anomaly detection, which is often on during the backward only."""
        if self._is_anomaly_enabled():
            self._anomaly = True

    def _inspect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        import torch

        tensors = list(tensors_in((args, kwargs), MAX_SHAPES))
        self._shapes_seen.add(tuple((tensor.dtype, tuple(tensor.shape)) for tensor in tensors))
        if tensors:
            self._device = tensors[0].device.type
        if not self._shapes:
            self._shapes = tuple(_shape(tensor) for tensor in tensors[:MAX_SHAPES])
        device = self._device or "cpu"
        if torch.is_autocast_enabled(device):
            self._autocast = str(torch.get_autocast_dtype(device)).replace("torch.", "")
        self._anomaly = self._anomaly or torch.is_anomaly_enabled()
        self._profilers.update(profilers_on())
        if self._forwards <= STACKS_INSPECTED and self._framework is None:
            self._framework = _framework_of(sys._getframe(1))

    def _noting_optimizer(self, original: Any) -> Any:
        collector = self

        @passes_on
        def __init__(scheduler: object, optimizer: Optimizer, *args: object, **kwargs: object) -> None:  # noqa: N807
            collector._scheduled.append(weakref.ref(optimizer))
            original(scheduler, optimizer, *args, **kwargs)

        return _like(original, __init__)

    def _noting_scaler(self, original: Any) -> Any:
        collector = self

        @passes_on
        def scale(scaler: GradScaler, outputs: object) -> Any:
            collector._scaler = collector._scaler or bool(scaler._enabled)
            return original(scaler, outputs)

        return _like(original, scale)

    # --- when it is asked ---------------------------------------------------------------------------------------------

    def workload(
        self,
        models: Iterable[Any],
        optimizers: Iterable[tuple[Any, Any, bool]],
        loaders: list[dict[str, object]],
        updates: int,
    ) -> dict[str, Any]:
        """Return all fields of `types.Workload`. `optimizers`: (optimizer, record of its steps, whether it is main)."""
        modules = list(models)
        metrics = trainer_metrics()
        described = [model_facts(module) for module in modules]
        device = self._device or _device_of(modules)
        return {
            "framework": self._framework or _framework_by_wrappers(modules) or _framework_by_state(),
            "device": device,
            "models": described,
            "loaders": loaders,
            "optimizers": [self._optimizer_facts(*entry, updates) for entry in optimizers],
            "flags": {
                **switches(),
                "anomaly_detection": self._anomaly or switches()["anomaly_detection"],
                "profiler_on": sorted(self._profilers | set(profilers_on())),
                "autocast_dtype": self._autocast,
                "grad_scaler": self._scaler,
            },
            "batch_shapes": list(self._shapes),
            "padding": self._padding.report(),
            "fixed_shapes": len(self._shapes_seen) == 1 if self._shapes_seen else None,
            "world_size": _world_size(),
            "events": [],
            "facts": {
                "packages": _versions(),
                **compiling.facts(),
                **checkpointing.facts(modules, self._checkpointed.count),
                "compiled_code": modes.compiled_by_script(),
                "compiled_breaks": breaks_seen(),
                "recompiling": self.compiled.report(),
                "evaluation_keeps_outputs": self._kept_outputs.keeps or metrics is not None,
                "metrics_at": list(metrics) if metrics is not None and metrics[0] else None,
                "environment": any_environment() if all(loader["role"] != "train" for loader in loaders) else False,
                "published_weights": self._weights.missing(modules),
                "float64_lines": float64_lines() if any("float64" in m["parameter_dtypes"] for m in described) else [],
            },
        }

    def _optimizer_facts(self, optimizer: Optimizer, record: Any, main: bool, updates: int) -> dict[str, object]:
        groups = optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        first = groups[0] if groups else {}
        fused, foreach = _fused_and_foreach(optimizer)
        betas = first.get("betas")
        return {
            "class_name": type(optimizer).__name__,
            "main": main,
            "parameters": sum(numel(parameter) for parameter in parameters),
            "tensors": len(parameters),
            "groups": len(groups),
            "fused": fused,
            "foreach": foreach,
            "steps_per_update": record.steps / updates if updates else 0.0,
            "learning_rate": _number(first.get("lr")),
            "momentum": _number(betas[0] if betas else first.get("momentum")),
            "has_schedule": self._has_schedule(optimizer, updates),
        }

    def _has_schedule(self, optimizer: Optimizer, updates: int) -> bool | None:
        """Return True if it has a scheduler or its rate changed, and None after too few updates to exclude one."""
        rates = tuple(_number(group.get("lr")) or 0.0 for group in optimizer.param_groups)
        before = self._rates.setdefault(id(optimizer), rates)
        if before != rates:
            self._rate_changed.add(id(optimizer))
        made = any(ref() is optimizer for ref in self._scheduled)
        marked = any("initial_lr" in group for group in optimizer.param_groups)
        if made or marked or id(optimizer) in self._rate_changed:
            return True
        return False if updates > 1 else None


def model_facts(module: nn.Module) -> dict[str, Any]:
    """Return the fields of `types.ModelFacts`."""
    parameters = list(module.parameters())
    dtypes: Counter[str] = Counter()
    for parameter in parameters:
        dtypes[str(parameter.dtype).replace("torch.", "")] += numel(parameter)
    names = {type(inner).__name__ for inner in module.modules()}
    return {
        "class_name": type(inside(getattr(module, "_orig_mod", module))).__name__,
        "parameters": sum(numel(parameter) for parameter in parameters),
        "trainable_parameters": sum(numel(parameter) for parameter in parameters if parameter.requires_grad),
        "parameter_dtypes": dict(dtypes),
        "device": parameters[0].device.type if parameters else "cpu",
        "devices": sorted({str(parameter.device) for parameter in parameters}),
        "layers": dict(_layers(module)),
        "channels_last": _channels_last(parameters),
        "compiled": any(is_compiled(inner) for inner in module.modules()),
        "data_parallel": "DataParallel" in names,
        "distributed": "DistributedDataParallel" in names or any("FSDP" in n or "FullySharded" in n for n in names),
    }


def _layers(module: nn.Module) -> Counter[str]:
    """Count the modules that compute: those without children, and those that own parameters themselves."""
    return Counter(
        type(inner).__name__
        for inner in module.modules()
        if not inner._modules or any(parameter is not None for parameter in inner._parameters.values())
    )


def _channels_last(parameters: list[Any]) -> bool | None:
    import torch

    formats = []
    for parameter in parameters:
        if parameter.dim() == 4:
            last = parameter.is_contiguous(memory_format=torch.channels_last)
            # A 1 × 1 kernel is in both formats at once, so it shows nothing.
            if last != parameter.is_contiguous():
                formats.append(last)
    return sum(formats) * 2 > len(formats) if formats else None


def _fused_and_foreach(optimizer: Optimizer) -> tuple[bool | None, bool | None]:
    """Return both as torch will resolve them: None in a group means foreach if all parameters' devices support it."""
    group = optimizer.param_groups[0] if optimizer.param_groups else {}
    fused = bool(group["fused"]) if "fused" in group else None
    if "foreach" not in group:
        return fused, None
    foreach = group["foreach"]
    if fused:
        return fused, False
    if foreach is not None or group.get("fused") is not None:
        return fused, bool(foreach)
    try:
        from torch.optim.optimizer import _default_to_fused_or_foreach

        parameters = [p for g in optimizer.param_groups for p in g["params"]]
        return fused, bool(
            _default_to_fused_or_foreach(parameters, bool(group.get("differentiable")), use_fused=False)[1]
        )
    except (ImportError, TypeError, AttributeError):
        return fused, all(p.device.type == "cuda" for g in optimizer.param_groups for p in g["params"])


def _framework_of(frame: FrameType | None) -> str | None:
    """Return the library whose loop called the model, by its frames on the stack."""
    while frame is not None:
        path = frame.f_code.co_filename
        for name, piece in _FRAMEWORK_FILES:
            if os.sep + piece in path:
                return name
        frame = frame.f_back
    return None


def _framework_by_wrappers(modules: Iterable[nn.Module]) -> str | None:
    """Detect Fabric, which wraps the model and leaves the loop to the script."""
    for module in modules:
        if type(module).__module__.startswith(("lightning.fabric", "lightning_fabric")):
            return "lightning"
    return None


def _framework_by_state() -> str:
    """Detect accelerate, which leaves the loop to the script, by whether an Accelerator was created."""
    state = getattr(sys.modules.get("accelerate.state"), "AcceleratorState", None)
    return "accelerate" if getattr(state, "_shared_state", None) else "plain"


def _world_size() -> int:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    return 1


def _versions() -> dict[str, str]:
    """Return the versions of imported packages."""
    from importlib import metadata

    found = {}
    for name in _PACKAGES:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


def _device_of(modules: list[nn.Module]) -> str:
    for module in modules:
        for parameter in module.parameters():
            return str(parameter.device.type)
    return "cpu"


def _shape(tensor: Tensor) -> str:
    return "{}{}".format(str(tensor.dtype).replace("torch.", ""), list(tensor.shape))


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _like(original: Any, replacement: Any) -> object:
    import functools

    return functools.wraps(original)(replacement)
