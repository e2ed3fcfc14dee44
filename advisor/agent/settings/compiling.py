"""`torch.compile` from outside: forwards of the trained models that build a graph run as compiled code.

The compiled call is kept beside the root. Nothing is put on the module, so it does not show in anything that the script
saves, copies or inspects. Shapes are compiled one by one, so that a batch size tried in one window does not make those
of the next dynamic. Evaluation stays eager: only updates are measured.

Dropout draws as eager code does (`fallback_random`), so the script's other draws and its order of samples do not
change.
"""

from __future__ import annotations

import shutil
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import util
from typing import Any, Callable

from ...knobs.compile import BLOCKS, DEFAULT, NAMES
from ...plural import plural
from ...refused import Refused
from ..base import modes
from ..base.nothing import nothing
from ..base.pass_through import passes_on
from ..base.slots import is_compiled
from ..loop.clock import StepClock
from ..loop.roots import CLOSED_WRAPPERS, MAX_LEVELS, Root, Roots
from .blocks import called_by_blocks, repeated_blocks
from .compile_watch import Account, CompileWatch, latest_misfit
from .passing import PassingState

WATCHED_CALLS = 8
"""First calls of a root; one that raises is run again without compiled code, so that any error is the script's own."""
STATIC_SHAPES = 4
"""Shapes that are compiled one by one (a full batch, an epoch's last one); a script with more gets code for changing
shapes."""
SOUGHT_UPDATES = 2 * MAX_LEVELS
"""Updates after which every model with visible calls has been seen; before that, a setting waits for it."""
SMALL_OUTPUT = 4096
"""Most elements of an output that is copied. CUDA graphs reuse the memory of their outputs at the next call, and losses
are kept longer than that; larger outputs are used up within the update."""
ORDINARY_RECOMPILES = 1
"""Recompilations that say nothing of a script: an epoch's last batch may have another shape."""
FIRST_LINE = 300
"""Characters kept of an error for a person to read."""

_FABRIC = ("lightning.fabric", "lightning_fabric")


class Compiling:
    """Compiling, one instance per process; does nothing, and imports nothing, until a mode is set."""

    def __init__(self, roots: Roots, clock: StepClock, broke: Callable[[str], None]) -> None:
        """Prepare; `broke` is called with the reason if an accepted setting cannot be kept."""
        self._roots = roots
        self._clock = clock
        self._broke = broke
        self._mode: str | None = None
        self._others: tuple[Any, ...] = ()
        self._key: tuple[Any, ...] = ()
        self._remarked: set[str] = set()
        self.watch = CompileWatch()
        self.backend: Any = "inductor"
        self.barred: Callable[[], str | None] = nothing
        """Callable that returns why another setting in force forbids compiling; None if none does."""

    # --- for the knob -----------------------------------------------------------------------------------------------

    @property
    def on(self) -> bool:
        return self._mode is not None

    def set(self, mode: str) -> None:
        """Compile from the next forward on. Failures of the compiler show only at the first calls: see `broke`."""
        self.restore()
        if mode not in NAMES:
            raise Refused(f"unknown compile={mode!r}: expected one of {', '.join(NAMES)}")
        why_not = self.barred() or self._why_not(mode)
        if why_not is not None:
            raise Refused(why_not)
        self._import()
        self.watch.install()
        self._mode = mode
        self._rekey()
        self._roots.instead = self._instead

    def restore(self) -> None:
        """Bring back the baseline. Compiled code is kept for the next time the same settings are in force."""
        self._mode = None
        self._roots.instead = None
        self.watch.limit(1)

    def beside(self, settings: dict[str, Any]) -> None:
        """Note the other settings in force from now on: each combination has compiled code of its own."""
        self._others = tuple(sorted((name, repr(value)) for name, value in settings.items() if name != "compile"))
        self._rekey()

    def _rekey(self) -> None:
        self._key = (self._mode, str(self.backend), self._others)
        if self._mode is not None:
            self.watch.account = self.watch.accounts.setdefault(self._key, Account())
            self.watch.limit(len(self.watch.accounts))

    def describe(self) -> dict[str, Any]:
        """Return costs and results of compiling under the present settings; empty if nothing is compiled."""
        if self._mode is None:
            return {}
        account = self.watch.account
        return {
            "mode": self._mode,
            "seconds": self.set_up_s(),
            "calls_that_compiled": account.calls,
            "graphs": account.graphs,
            "graph_breaks": sum(account.breaks.values()),
            "first_break": next(iter(account.breaks), ""),
            "recompiles": account.recompiles,
            "recompile_reason": _one_line(account.misfit),
            "failed": account.failure,
        }

    def remark(self) -> str | None:
        """Return a remark on the compiled code for a person, once per mode; None if there is nothing to say."""
        account = self.watch.account
        often = account.recompiles > ORDINARY_RECOMPILES
        if self._mode is None or not (account.breaks or often) or self._mode in self._remarked:
            return None
        self._remarked.add(self._mode)
        remarks = [_on_breaks(account)] if account.breaks else []
        remarks += [_on_recompiles(account)] if often else []
        return f"with compile={self._mode} the model " + ", and it ".join(remarks)

    def set_up_s(self) -> float | None:
        """Return the seconds of compiling once under the present settings; None if nothing is compiled.

        These settings may reuse code that other settings paid for in this process, so the maximum over all counts.
        """
        if self._mode is None:
            return None
        return max(account.seconds for (mode, *_), account in self.watch.accounts.items() if mode == self._mode)

    def _import(self) -> None:
        """Import the compiler between two updates, so that the first forward does not pay for it."""
        try:
            with _compilers_own_warnings():
                import torch._dynamo

                if self.backend == "inductor":
                    import torch._inductor.compile_fx  # noqa: F401
        except Exception as error:
            raise Refused(_first_line(error)) from error

    # --- conditions for compiling -----------------------------------------------------------------------------------

    def _why_not(self, mode: str) -> str | None:
        if not self.watch.installed and modes.compile_used():
            return "the script uses torch.compile itself"
        trained = [root for root in self._roots.called() if root.owned and root.training_calls]
        if not trained and self._clock.updates > SOUGHT_UPDATES:
            return "no trained model is called as a module: there is nothing to compile"
        for root in trained:
            why_not = _why_closed(root.ref())
            if why_not is not None:
                return why_not
        if trained and mode == BLOCKS and not any(repeated_blocks([root.ref()]) for root in trained):
            return "the model has no repeated blocks: there is only the whole to compile"
        return None

    # --- around a forward -------------------------------------------------------------------------------------------

    def _instead(self, root: Root, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function to call for this root."""
        if not root.owned:
            return original
        call = root.compiled.get(self._key)
        if call is None:
            if _why_closed(root.ref()) is not None:  # a model found after the mode was set
                return original
            call = root.compiled[self._key] = _Call(self, root, self._mode or DEFAULT, self.backend)
        return call

    def fail(self, why: str) -> None:
        self.watch.account.failure = why
        self.restore()
        self._broke(why)


_MARK = "_dynamo_static_input_type"


class _Call:
    """Compiled call of one root under one combination of settings. It does not keep the module alive."""

    __slots__ = ("_account", "_backend", "_compiled", "_mode", "_owner", "_root", "_seen", "_shapes", "_watched")

    def __init__(self, owner: Compiling, root: Root, mode: str, backend: object) -> None:
        self._owner = owner
        self._root = root
        self._mode = mode
        self._account = owner.watch.account
        self._backend = backend
        self._compiled: Any = None
        self._watched = 0
        self._shapes = 0
        self._seen = owner.watch.compiles

    @passes_on
    def __call__(self, *args: object, **kwargs: object) -> Any:
        module: Any = self._root.ref()
        if self._watched < WATCHED_CALLS:
            return self._closely(module, args, kwargs)
        try:
            result = self._compiled(module, *args, **kwargs)
        except Exception as error:
            if not _of_the_compiler(error):
                raise
            why = _first_line(error)
        else:
            if self._seen != self._owner.watch.compiles:
                self._compiled_anew()
            return result if self._mode != "reduce-overhead" else _kept_apart(result)
        self._owner.fail(why)
        return module._call_impl(*args, **kwargs)

    @passes_on
    def _closely(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Run one of the first calls; it leaves the traces of a single call even if it is run again."""
        state = PassingState(module)
        begin = self._owner.watch.compiles
        try:
            with _backward_at_once(), _compilers_own_warnings():
                if self._compiled is None:
                    self._compiled = _compiled(module, self._mode, self._backend, dynamic=False)
                result = self._compiled(module, *args, **kwargs)
        except Exception as error:
            why = _first_line(error)
        else:
            self._watched += 1
            if self._owner.watch.compiles != begin:
                self._compiled_anew()
            if self._watched == 1 and not self._owner.watch.any_graph(self._mode):
                self._owner.fail(_nothing_compiled(module, self._account))
            return result if self._mode != "reduce-overhead" else _kept_apart(result)
        state.put_back()
        _unmark(module)
        # If the script's own code is at fault, this raises its own error, without a word on compiling.
        result = module._call_impl(*args, **kwargs)
        self._owner.fail(why)
        return result

    def _compiled_anew(self) -> None:
        self._seen = self._owner.watch.compiles
        self._account.calls += 1
        self._shapes += 1
        if self._shapes > 1:
            self._account.recompiles += 1
            self._account.misfit = latest_misfit() or self._account.misfit
        _unmark(self._root.ref())
        if self._shapes == STATIC_SHAPES:
            self._compiled = _compiled(self._root.ref(), self._mode, self._backend, dynamic=None)


def _compiled(module: Any, mode: str, backend: Any, dynamic: bool | None) -> Callable[..., Any]:
    """Return a compiled function of (module, *args, **kwargs). Dynamo skips the function by its name, and compiles the
    model's own `forward` that it calls."""
    import torch

    blocks = repeated_blocks([module]) if mode == BLOCKS else None
    if blocks is not None:
        return called_by_blocks(blocks, _compiled(blocks.modules[0], DEFAULT, backend, dynamic))
    function = type(module)._call_impl
    if backend != "inductor":
        return torch.compile(function, backend=backend, dynamic=dynamic)
    return torch.compile(function, dynamic=dynamic, options=_options(mode))


def _unmark(module: Any) -> None:
    """Remove the marks that Dynamo leaves on parameters and buffers; a pickled model would keep them."""
    for tensor in (*module.parameters(), *module.buffers()):
        vars(tensor).pop(_MARK, None)


def _options(mode: str) -> dict[str, Any]:
    """Return the options that the mode stands for; `torch.compile` takes a mode or options, never both."""
    chosen: dict[str, Any] = {"fallback_random": True}
    if mode not in (DEFAULT, BLOCKS):
        from torch._inductor import list_mode_options

        chosen = {**list_mode_options(mode), **chosen}
    return chosen


def _backward_at_once() -> Any:
    """Compile the backward with the forward: a failure could not be undone once the script is in its backward."""
    from torch._functorch import config

    if not hasattr(config, "force_non_lazy_backward_lowering"):
        return nullcontext()
    return config.patch(force_non_lazy_backward_lowering=True)


@contextmanager
def _compilers_own_warnings() -> Iterator[None]:
    """Ignore torch's warnings about itself while it compiles: the script did not cause them, and has no error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch")
        yield


# --- in words ---------------------------------------------------------------------------------------------------------


def _why_closed(module: Any) -> str | None:
    """Return why we cannot compile the calls of this root; None if we can."""
    name = type(module).__name__
    if name in CLOSED_WRAPPERS or name.startswith("FSDP") or type(module).__module__.startswith(_FABRIC):
        return f"the model is wrapped in {name}, which intercepts its call"
    if not isinstance(getattr(type(module), "_call_impl", None), types.FunctionType):
        return f"{name} overrides how it is called"
    if any(is_compiled(inner) for inner in module.modules()):
        return f"the script already compiles {name}"
    return None


def _nothing_compiled(module: Any, account: Account) -> str:
    reason = next(iter(account.breaks), "")
    why = f": {_one_line(reason)}" if reason else ""
    return f"torch.compile could compile nothing of {type(module).__name__}{why}"


def _on_breaks(account: Account) -> str:
    times, reason = sum(account.breaks.values()), _one_line(next(iter(account.breaks)))
    return (
        f"runs as {account.graphs} compiled graphs, because of {plural(times, 'graph break')}; "
        f"the first reason: {reason}"
    )


def _on_recompiles(account: Account) -> str:
    why = f"; the last reason: {_one_line(account.misfit)}" if account.misfit else ""
    return f"was compiled {account.recompiles} more times{why}"


def _first_line(error: BaseException) -> str:
    return f"torch.compile failed: {type(error).__name__}: {_one_line(str(error))}"


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # "backend='inductor' raised:" has the error itself on the next line.
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])[:FIRST_LINE]


def _of_the_compiler(error: BaseException) -> bool:
    exc: Any = sys.modules.get("torch._dynamo.exc")
    return exc is not None and isinstance(error, exc.TorchDynamoException)


def _kept_apart(result: object) -> object:
    """Copy small outputs into memory of their own."""
    import torch
    from torch.utils import _pytree

    def apart(value: object) -> object:
        return value.clone() if isinstance(value, torch.Tensor) and value.numel() <= SMALL_OUTPUT else value

    return _pytree.tree_map(apart, result)


def facts() -> dict[str, object]:
    """Return whether the compiler has what it needs, fields of `types.ScriptFacts`."""
    import os

    usual = "clang++" if sys.platform == "darwin" else "cl" if sys.platform == "win32" else "g++"
    return {
        "cxx": shutil.which(os.environ.get("CXX") or usual) is not None,
        "triton": util.find_spec("triton") is not None,
    }
