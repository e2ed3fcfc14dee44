"""Blocks whose linear layers are shared out among processes that all see the whole batch: tensor parallelism.

Each block is tried when the training calls it first. It runs on copies of its inputs, whole and shared out, forward and
backward; only where output and gradients agree on all ranks it stays shared. Whatever else the model has is the same on
every rank, which has drawn the same numbers and reads the same batches.
"""

from __future__ import annotations

import contextlib
import fnmatch
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

from ..base import slots
from ..base.pass_through import passes_on
from ..base.tensors import copied, tensors_in
from ..loop.clock import StepClock
from . import data_parallel, sharding
from .blocks import repeated_blocks
from .linear_pairs import Pair, Tracer, layers_of, sizes
from .own_draws import drop_apart
from .ranks import Ranks
from .tensor_styles import Shared

LEAST_OF_ATTENTION = 3
"""Layers before an attention: queries, keys and values."""
TF32_STEP = 2.0**-11
"""Relative step of the products of float32 on a GPU that rounds their operands."""
FLOOR = 0.01
"""Part of the largest gradient of a block below which a difference may be rounding: that of a key's bias is zero."""
MOST_REASONS = 3
WRAPPERS = ("OptimizedModule", "DistributedDataParallel")


def why_not(modules: list[Any], *, compiles: bool) -> str | None:
    """Return why no block can be shared out, as far as it shows before the first forward; None if one may be.

    `compiles` is true if a setting of ours compiles the model.
    """
    if compiles:
        return "the model is compiled: what its blocks consist of is not seen"
    if not _torch_can():
        return "this version of torch cannot share out layers: it takes torch 2.5 or newer"
    for module in modules:
        if type(module).__name__ in WRAPPERS:
            return f"the model is wrapped in {type(module).__name__}"
        if any(slots.is_compiled(inner) for inner in module.modules()):
            return "the script compiles the model: what its blocks consist of is not seen"
    if not any(len(layers_of(block)) > 1 for block in _blocks_of(modules)):
        return "no block has a linear layer that widens, and one that takes its output"
    return None


class TensorParallel:
    """Sharing of the blocks of a training's models, from their next forward on."""

    def __init__(
        self,
        ranks: Ranks,
        clock: StepClock,
        device: str,
        optimizers: Callable[[], list[Any]],
        say: Callable[[str], None],
        refuse: Callable[[str], None],
    ) -> None:
        self._ranks, self._clock, self._optimizers = ranks, clock, optimizers
        self._mesh = sharding.mesh_of(device, ranks.size, hybrid=False)
        self._say, self._refuse = say, refuse
        self._slots: dict[int, tuple[Any, slots.CallSlot]] = {}
        self._class_name = ""
        self._blocks = 0
        self._tied: set[int] = set()
        self._planned: set[int] = set()
        self._shared: Counter[str] = Counter()
        self._whole: Counter[str] = Counter()
        """Why something stayed whole → blocks."""
        self._clipping = sharding.Clipping()
        self._saves_whole: list[Any] = []

    def begin(self, modules: list[Any]) -> None:
        """Wait for the first call of each block."""
        models = [data_parallel.inside(module) for module in modules]
        blocks = [block for block in _blocks_of(models) if len(layers_of(block)) > 1]
        self._blocks, self._class_name = len(blocks), type(blocks[0]).__name__
        owners = Counter(
            id(parameter) for model in models for _, parameter in model.named_parameters(remove_duplicate=False)
        )
        self._tied = {number for number, count in owners.items() if count > 1}
        self._planned = {id(layer) for model in models for layer in _planned_by(model)}
        for block in blocks:
            self._slots[id(block)] = block, slots.put(block, self._run)

    def end(self) -> None:
        """Wait for no further call."""
        for block, slot in self._slots.values():
            slots.take(block, slot)
        self._slots.clear()

    def update_ended(self, updates: int) -> None:
        """After the first updates, say what is shared, or that nothing is."""
        if self._blocks and (updates > 1 or not self._slots):
            self.end()
            self._blocks, blocks = 0, self._blocks
            reasons = "; ".join(f"{why}" for why, _count in self._whole.most_common(MOST_REASONS))
            if not self._shared:
                self._refuse(reasons or f"the training did not call {self._class_name}")
                return
            shared = " and ".join(f"{count} {kind}" for kind, count in self._shared.items())
            self._say(
                f"{shared} in {blocks} {self._class_name} are shared out among {self._ranks.size} processes"
                + (f"; whole are: {reasons}" if reasons else "")
            )

    # --- a block ------------------------------------------------------------------------------------------------------

    @passes_on
    def _run(self, block: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        import torch

        if id(block) in self._slots and block.training and torch.is_grad_enabled() and self._clock.mine():
            _block, slot = self._slots.pop(id(block))
            slots.take(block, slot)
            self._clock.exclude(lambda: self._share_safely(block, args, kwargs))
        return original(*args, **kwargs)

    def _share_safely(self, block: Any, args: Any, kwargs: Any) -> None:
        try:
            self._share(block, args, kwargs)
        except Exception as error:
            self._whole[f"sharing {self._class_name} failed with {_in_words(error)}"] += 1

    def _share(self, block: Any, args: Any, kwargs: Any) -> None:
        """Share what can be shared of the block; it stays as it is where a rank has a reason against it."""
        pairs: list[Pair] = []
        trial: _Trial | None = None
        try:
            trial = _Trial(block, args, kwargs)
            pairs = [pair for pair in trial.pairs if self._can_be_shared(block, pair)]
        except Exception as error:
            self._whole[f"the trial of the whole block failed with {_in_words(error)}"] += 1
        if len(set(map(repr, self._ranks.gather([pair.names for pair in pairs])))) > 1 or trial is None:
            return
        aligned = [pair for pair in pairs if pair.aligned]
        for wanted in (pairs, aligned) if len(aligned) < len(pairs) else (pairs,):
            if wanted and self._try(block, trial, wanted):
                return

    def _try(self, block: Any, trial: _Trial, pairs: list[Pair]) -> bool:
        modules = dict(block.named_modules())
        # A plan of the model's author says that its code counts no heads.
        counts_heads = {
            pair.last
            for pair in pairs
            if not pair.aligned and not all(id(modules[name]) in self._planned for name in pair.names)
        }
        shared: Shared | None = None
        why: str | None
        with _implicit_replication():
            try:
                shared = Shared(block, pairs, self._mesh, counts_heads)
                why = trial.difference()
            except Exception as error:
                why = f"it failed with {_in_words(error)}"
        reasons = [reason for reason in self._ranks.gather(why) if reason]
        if reasons or shared is None:
            if shared is not None:
                shared.restore()
            kinds = " and ".join(sorted({_kind(pair) for pair in pairs}))
            self._whole[f"{kinds} in {self._class_name}, as shared out {reasons[0]}"] += 1
            return False
        self._adopt(shared)
        for name in {name for pair in pairs for name in pair.dropouts if getattr(modules[name], "p", 0)}:
            drop_apart(modules[name], self._ranks.rank)
        self._shared.update(_kind(pair) for pair in pairs)
        return True

    def _can_be_shared(self, block: Any, pair: Pair) -> bool:
        why = self._why_whole(block, pair)
        if why is not None:
            self._whole[f"{_kind(pair)} ({', '.join(pair.names)}), as {why}"] += 1
        return why is None

    def _why_whole(self, block: Any, pair: Pair) -> str | None:
        """Return why this pair cannot be shared out, as its layers and the trace show; None if it can be tried."""
        layers = dict(block.named_modules())
        first, last = [layers[name] for name in pair.first], layers[pair.last]
        if not pair.aligned and (len(first) < LEAST_OF_ATTENTION or not pair.heads):
            return "what is between them mixes features"
        if any(id(one) in self._tied for layer in (*first, last) for one in layer.parameters()):
            return "a weight is used elsewhere as well"
        if any(layer._forward_hooks or layer._forward_pre_hooks for layer in (*first, last)):
            return "a layer has hooks of the script"
        drops = any(getattr(layers[name], "p", 0) for name in pair.dropouts)
        if pair.draws or (drops and (not pair.aligned or pair.drops_elsewhere)):
            return "features are dropped at random inside"
        if pair.aligned and any(sizes(layer)[1] < sizes(layer)[0] for layer in first):
            return "it does not widen"
        return self._why_indivisible(pair, {sizes(layer)[1] for layer in first}, sizes(last)[0])

    def _why_indivisible(self, pair: Pair, widths: set[int], taken: int) -> str | None:
        if pair.aligned and widths != {taken}:
            return "what is between them changes the number of features"
        for counts, what in ((widths | {taken}, "features"), (pair.heads, "heads")):
            if any(count % self._ranks.size for count in counts):
                said = " and ".join(map(str, sorted(counts)))
                return f"{said} {what} cannot be divided among {self._ranks.size} processes"
        return None

    def _adopt(self, shared: Shared) -> None:
        """Let the optimizers and clipping have the parts, for good."""
        _set_implicit_replication()
        pieces = shared.renewed
        if not self._clipping.kept:
            self._clipping.replace()
        self._clipping.kept += shared.originals
        self._clipping.renewed.update(pieces)
        for old in shared.originals:
            if old.grad is not None:  # of earlier backwards of this update
                pieces[id(old)].grad, old.grad = sharding.cut(old.grad, pieces[id(old)]), None
        for optimizer in self._optimizers():
            sharding.give_pieces(optimizer, pieces)
            if not any(optimizer is one for one in self._saves_whole):
                self._saves_whole.append(optimizer)
                sharding.save_optimizer_whole(optimizer)
        shared.keep()


class _Trial:
    """One call of a block, repeated on copies of its inputs, with the gradients of all parameters."""

    def __init__(self, block: Any, args: Any, kwargs: Any) -> None:
        self._block = block
        self._inputs = args, kwargs
        tracer = Tracer(block)
        with tracer.watching(block):
            output = self._call()
        self.pairs = tracer.pairs(output[0])
        del tracer
        self._expected = self._gradients(*output)

    def difference(self) -> str | None:
        """Return what differs if the block is called now; None if nothing does, but for rounding."""
        found = self._gradients(*self._call())
        if len(found) != len(self._expected):
            return "it gives another number of results"
        largest = max(
            (float(one.abs().max()) for _, one in self._expected if one is not None and one.numel()), default=0
        )
        for (name, whole), (_name, one) in zip(self._expected, found):
            if (whole is None) != (one is None):
                return f"it has no {name}" if one is None else f"it has a {name} that is not there otherwise"
            if whole is None or not whole.numel():
                continue
            if whole.shape != one.shape:
                return f"its {name} has the shape {tuple(one.shape)} and not {tuple(whole.shape)}"
            error, scale = float((whole - one).abs().max()), float(whole.abs().max())
            allowed = _tolerance(whole) * max(scale, FLOOR * largest)
            if not error <= allowed:
                return f"its {name} differs by {error / max(scale, 1e-30):.2g} of its size"
        return None

    def _call(self) -> tuple[Any, list[Any]]:
        """Call the block with copies of its inputs, and no dropout of modules; return its output and these inputs."""
        import torch

        args, kwargs = copied(self._inputs)
        buffers = {name: buffer.clone() for name, buffer in self._block.named_buffers()}
        dropping = [one for one in self._block.modules() if type(one).__name__ == "Dropout" and one.training]
        devices = sorted({one.device.index for one in self._block.parameters() if one.device.type == "cuda"})
        try:
            for one in dropping:
                one.training = False
            with torch.random.fork_rng(devices=devices):
                output = self._block._call_impl(*args, **kwargs)
        finally:
            for one in dropping:
                one.training = True
            with torch.no_grad():
                for name, buffer in self._block.named_buffers():
                    if not torch.equal(buffer, buffers[name]):
                        buffer.data.copy_(buffers[name])  # unseen by the backward that is still to come
        return output, [tensor for tensor in tensors_in((args, kwargs)) if tensor.requires_grad]

    def _gradients(self, output: Any, inputs: list[Any]) -> list[tuple[str, Any]]:
        """Return the outputs, and the gradients of a sum of them with respect to inputs and parameters."""
        import torch

        outputs = [one for one in tensors_in(output) if one.is_floating_point()]
        total = sum(
            (_whole(one).float() * torch.cos(torch.arange(one.numel(), device=one.device).view(one.shape))).sum()
            for one in outputs
            if one.requires_grad
        )
        parameters = [one for one in self._block.parameters() if one.requires_grad]
        wanted = [*inputs, *parameters]
        found = torch.autograd.grad(total, wanted, allow_unused=True) if wanted and hasattr(total, "grad_fn") else ()
        named = [f"gradient of input {number}" for number in range(len(inputs))]
        named += [f"gradient of {name}" for name, one in self._block.named_parameters() if one.requires_grad]
        results = [("output", _whole(one).detach()) for one in outputs]
        return results + [(name, _whole(one) if one is not None else None) for name, one in zip(named, found)]


def _blocks_of(modules: list[Any]) -> list[Any]:
    """Return the repeated blocks of the models, or the models themselves."""
    models = [data_parallel.inside(module) for module in modules]
    blocks = repeated_blocks(models)
    return list(blocks.modules) if blocks is not None else models


def _planned_by(model: Any) -> Iterator[Any]:
    """Yield the layers that a plan of the model's own shares out: that of transformers, by columns and rows."""
    plan = getattr(model, "_tp_plan", None)
    patterns = [name for name, style in plan.items() if style in ("colwise", "rowwise")] if plan else []
    for name, module in model.named_modules() if patterns else ():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            yield module


def _kind(pair: Pair) -> str:
    if pair.aligned:
        return "MLP"
    return "attention" if pair.heads else "layers"


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _tolerance(tensor: Any) -> float:
    """Return the relative difference that rounding explains: half of the digits of the coarsest dtype in use."""
    import torch

    kind = tensor.device.type
    steps = [torch.finfo(tensor.dtype).eps]
    if torch.is_autocast_enabled(kind):
        steps.append(torch.finfo(torch.get_autocast_dtype(kind)).eps)
    if kind == "cuda" and torch.backends.cuda.matmul.allow_tf32:
        steps.append(TF32_STEP)
    return float(max(steps) ** 0.5)


def _torch_can() -> bool:
    try:
        from torch.distributed.tensor import DTensor, experimental

        return hasattr(DTensor._op_dispatcher, "_allow_implicit_replication") and hasattr(
            experimental, "register_sharding"
        )
    except (ImportError, AttributeError):
        return False


@contextlib.contextmanager
def _implicit_replication() -> Iterator[None]:
    """Take plain tensors beside DTensors for the same on all ranks."""
    from torch.distributed.tensor import DTensor

    before = DTensor._op_dispatcher._allow_implicit_replication
    _set_implicit_replication()
    try:
        yield
    finally:
        DTensor._op_dispatcher._allow_implicit_replication = before


def _set_implicit_replication() -> None:
    """Do so for the rest of the process: steps, clipping and loss scaling see parts beside whole parameters."""
    from torch.distributed.tensor import DTensor

    DTensor._op_dispatcher._allow_implicit_replication = True
