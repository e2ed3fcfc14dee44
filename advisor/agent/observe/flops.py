"""FLOPs of an update, and the minimum bytes that its operators must read and write.

Matrix products, convolutions, attention and recurrent layers count, by torch's own formulas or by ours where torch has
none. Elementwise operators do not. Each product counts once: what a checkpoint or attention's backward recomputes is
left out, as in model FLOPs utilisation (PaLM's appendix B).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Callable

from ..base import modes
from ..base.pass_through import passes_on_to_c
from ..loop.clock import BACKWARD, LOADING, StepClock

if TYPE_CHECKING:
    from types import FrameType

    from torch import Tensor


HALF = ("float16", "bfloat16")
HALF_MULTIPLE = 8
"""Elements of 16 bits in the 16 bytes that tensor cores read at once."""


class FlopCount:
    """FLOP counter; `start` and `stop` at the ends of updates."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._mode: Any = None
        self._formulas: dict[Any, Callable[..., Any]] = {}
        self._counts: dict[int, tuple[int, int, int]] = {}
        """FLOPs, bytes, and FLOPs of convolutions by the number of updates that had ended."""
        self._by_dtype: dict[str, int] = {}
        self._odd: dict[str, int] = {}
        self.total = 0
        """FLOPs since `start`, of evaluations too."""
        self._updates_before = 0
        self.why: str | None = None
        """Reason for a missing count, after a `start` or `stop` without one."""

    def start(self, compiled: bool = False) -> bool:
        """Begin to count; return False, with the reason in `why`, if impossible, as with compiled updates
        (`compiled`)."""
        self.why = modes.refusal(compiled)
        if self.why is not None:
            return False
        try:
            self._formulas = _formulas()
        except Exception as error:
            self.why = f"torch has no FLOP formulas that advisor can use ({error!r})"
            return False
        self._counts, self._by_dtype, self._odd, self.total = {}, {}, {}, 0
        self._updates_before = self._clock.updates
        self._mode = modes.enter(self._around)
        return True

    def step_aside(self) -> None:
        """Let compiled code run undisturbed; the updates since `start` then have no count."""
        if self._mode is not None:
            modes.leave(self._mode)
            self.why = modes.COMPILED

    def stop(self) -> dict[str, int] | None:
        """Return FLOPs and bytes of all updates since `start`: 0 without products among their operators.

        Return None, with the reason in `why`, if nothing was counted."""
        if self._mode is None:
            return None
        mode, self._mode = self._mode, None
        modes.leave(mode)
        updates = self._clock.updates - self._updates_before
        if self.why is None and updates <= 0:  # counting begins anew where another optimizer becomes the main one
            self.why = "no update ended during counting"
        if self.why is not None:
            return None
        # Use the median update: one with an evaluation has more, which is not the training's.
        counts = [self._counts.get(self._updates_before + number, (0, 0, 0)) for number in range(updates)]
        flops, size, convolutions = sorted(counts)[(updates - 1) // 2]
        return {"flops": flops * updates, "bytes": size * updates, "convolution_flops": convolutions * updates}

    @passes_on_to_c
    def _around(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self._clock.phase in LOADING:  # a dataset's operators are not part of the model's arithmetic
            return func(*args, **kwargs)
        packet = getattr(func, "_overloadpacket", None)
        formula = self._formulas.get(packet)
        if formula is None and packet is not None:
            result = self._decomposed(func, args, kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None and self.why is None and not self._recomputes():
            try:
                flops = _sparse_product(args)
                if flops is None:
                    flops = int(formula(*args, **kwargs, out_val=result))
                size = sum(_tensor_bytes((args, kwargs, result), {}).values())
                before = self._counts.get(self._clock.updates, (0, 0, 0))
                convolution = flops if "convolution" in str(packet) or "_conv" in str(packet) else 0
                self._counts[self._clock.updates] = (before[0] + flops, before[1] + size, before[2] + convolution)
                self.total += flops
                self._sort(flops, args, result)
            except Exception as error:
                self.why = f"counting {func} failed: {error!r}"
        return result

    def _sort(self, flops: int, args: Any, result: Any) -> None:
        """Add a product's FLOPs to its dtype's, and to those of an innermost size that tensor cores take badly."""
        # A convolution's backward makes no gradient of its input where the input is data.
        made = next(each for each in result if each is not None) if isinstance(result, (list, tuple)) else result
        dtype = str(made.dtype).replace("torch.", "")
        self._by_dtype[dtype] = self._by_dtype.get(dtype, 0) + flops
        if dtype not in HALF or made.dim() not in (2, 3):
            return
        innermost = {_innermost(value) for value in (*args, made) if hasattr(value, "stride") and value.dim() > 1}
        odd = [size for size in innermost if size % HALF_MULTIPLE]
        if odd:
            name = str(max(odd))
            self._odd[name] = self._odd.get(name, 0) + flops

    def details(self, updates: int) -> dict[str, dict[str, int]]:
        """Return the fields of `types.OperatorUse` that this counter knows."""
        return {
            "flops_by_dtype": {dtype: flops // updates for dtype, flops in self._by_dtype.items()},
            "odd_flops": {size: flops // updates for size, flops in self._odd.items()},
        }

    def _recomputes(self) -> bool:
        """Return whether a checkpoint runs its forward again: in the backward, and with gradients on."""
        import torch

        if self._clock.phase != BACKWARD or not torch.is_grad_enabled():
            return False
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.endswith(_CHECKPOINT):
            frame = frame.f_back
        return frame is not None

    @passes_on_to_c
    def _decomposed(self, func: object, args: Any, kwargs: Any) -> Any:
        """Count the parts of composite operators, which arrive whole in inference mode."""
        import torch

        if not torch.is_inference_mode_enabled() or not hasattr(func, "decompose") or self._mode is None:
            return NotImplemented
        with self._mode:
            return func.decompose(*args, **kwargs)


_CHECKPOINT = os.path.join("torch", "utils", "checkpoint.py")


def _sparse_product(args: Any) -> int | None:
    """Return the FLOPs of a product with a sparse matrix, by its stored elements; None if no matrix is sparse."""
    import torch

    matrices = [value for value in args if isinstance(value, torch.Tensor) and value.dim() >= 2]
    sparse = next((value for value in matrices if value.layout is not torch.strided), None)
    if sparse is None:
        return None
    columns = max((int(value.shape[-1]) for value in matrices if value.layout is torch.strided), default=1)
    return 2 * int(sparse._nnz()) * columns


def _innermost(matrix: Tensor) -> int:
    """Return the size of the dimension whose elements lie side by side."""
    steps = list(matrix.stride())
    return int(matrix.shape[steps.index(min(steps))])


def _formulas() -> dict[object, Callable[..., object]]:
    import torch
    from torch.utils.flop_counter import flop_registry

    found = dict(flop_registry)
    for packet, formula in flop_registry.items():
        if "attention" in str(packet) and str(packet).endswith("_backward"):
            found[packet] = _without_scores(formula)
    for name, formula in _OWN_FORMULAS.items():
        packet = getattr(torch.ops.aten, name, None)
        if packet is not None:
            found.setdefault(packet, formula)
    return found


def _without_scores(formula: Callable[..., Any]) -> Callable[..., int]:
    """Return the formula of attention's backward without its first product of five, the recomputed scores."""
    return lambda *args, **kwargs: int(formula(*args, **kwargs)) * 4 // 5


def _attention(query: Tensor, key: Tensor, value: Any, *_args: object, **_kwargs: object) -> int:
    batch, heads, rows, width = query.shape
    return 2 * int(batch) * int(heads) * int(rows) * int(key.shape[-2]) * int(width + value.shape[-1])


def _attention_backward(
    _grad: object, query: Tensor, key: Tensor, value: object, *_args: object, **_kwargs: object
) -> int:
    # Two products for each of the forward's two; the recomputed scores are left out.
    return _attention(query, key, value) * 2


def _rnn_layer(tensor: Tensor, input_weights: Any, hidden_weights: Any, *_args: object, **_kwargs: object) -> int:
    """Count one layer and direction of a recurrent network on a CPU: two products per step of every sequence."""
    steps = tensor.shape[0] * tensor.shape[1]
    return 2 * int(steps) * int(input_weights.numel() + hidden_weights.numel())


def _cudnn_rnn(tensor: Tensor, weights: Any, *_args: object, **_kwargs: object) -> int:
    """Count all layers at once; its weight matrices are multiplied, its vectors only added."""
    steps = tensor.shape[0] * tensor.shape[1]
    return 2 * int(steps) * sum(int(weight.numel()) for weight in weights if weight.dim() > 1)


def _dense_product(_bias: object, left: Tensor, right: Tensor, *_args: object, **_kwargs: object) -> int:
    return 2 * int(left.shape[0]) * int(left.shape[1]) * int(right.shape[-1])


def _twice(forward: Callable[..., int]) -> Callable[..., int]:
    """Return the formula of a backward that takes its input and its weights in the forward's order."""
    return lambda *args, **kwargs: 2 * forward(*args, **kwargs)


_OWN_FORMULAS: dict[str, Callable[..., object]] = {
    "_sparse_addmm": _dense_product,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "mkldnn_rnn_layer": _rnn_layer,
    "mkldnn_rnn_layer_backward": _twice(_rnn_layer),
    "_cudnn_rnn": _cudnn_rnn,
    "_cudnn_rnn_backward": _twice(_cudnn_rnn),
}


def _tensor_bytes(value: Any, found: dict[int, int]) -> dict[int, int]:
    """Return the bytes of every tensor in nested arguments by identity, each once."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _tensor_bytes(item, found)
    elif isinstance(value, dict):
        _tensor_bytes(list(value.values()), found)
    elif hasattr(value, "element_size"):
        found[id(value)] = int(value.numel()) * int(value.element_size())
    return found
