"""What a test may leave behind in its process: kept before it, compared and put back after it."""

from __future__ import annotations

import builtins
import copy
import gc
import importlib
import inspect
import operator
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Value = tuple[Callable[[], Any], Callable[[Any], Any]]
"""Reads a value, and writes it back."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""SIGCHLD is torch's from its first loader with workers on, SIGALRM is pytest-timeout's."""
_MODULES = (builtins, copy, gc, os, random, sys, threading, time)
"""Their functions are the ones to replace when one looks at a script."""
_TORCH_MODULES = (
    "torch",
    "torch.autograd",
    "torch.cuda",
    "torch.nn.utils",
    "torch.nn.utils.clip_grad",
    "torch.optim.lr_scheduler",
    "torch.optim.optimizer",
    "torch.utils.data.dataloader",
)
_TORCH_CLASSES = (
    ("torch", "Tensor"),
    ("torch.nn", "Module"),
    ("torch.optim", "Optimizer"),
    ("torch.optim.lr_scheduler", "LRScheduler"),
    ("torch.utils.data", "DataLoader"),
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter"),
    ("torch.utils.data.dataloader", "_SingleProcessDataLoaderIter"),
    ("torch.utils.data.dataloader", "_MultiProcessingDataLoaderIter"),
    ("torch.amp", "GradScaler"),
)
_LEFT_BY_OTHERS = ("__slotnames__", "___needs_generation_tag_patch")
"""What pickling and torch's compiler leave on classes is put back, and is no test's fault."""
_ABSENT = object()


class ProcessState:
    """The state of now."""

    def __init__(self) -> None:
        self._values = {name: read() for name, (read, _write) in _values().items()}
        self._unseen = {name: read() for name, (read, _write) in _unseen().items()}
        self._attributes = [(owner, dict(vars(owner)), whole) for owner, whole in _owners()]

    def changes(self) -> list[str]:
        """What has changed since, each in a few words."""
        found = [
            f"{name} changed: {_difference(self._values[name], read())}"
            for name, (read, _write) in _values().items()
            if name in self._values and read() != self._values[name]
        ]
        return found + [
            f"{owner.__name__}.{name} was replaced"
            for owner, name, _kept in self._replaced()
            if not _torchs(owner, name)
        ]

    def restore(self) -> None:
        for values, kept in ((_values(), self._values), (_unseen(), self._unseen)):
            for name, (read, write) in values.items():
                if name in kept and read() != kept[name]:
                    write(kept[name])
        for owner, name, value in list(self._replaced()):
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

    def _replaced(self) -> Iterator[tuple[Any, str, Any]]:
        for owner, kept, whole in self._attributes:
            now = vars(owner)
            # As good as always; the loop below takes ten times as long, thousands of times.
            as_many = len(now) == len(kept) if whole else len(now) >= len(kept)
            if as_many and all(map(operator.is_, kept.values(), now.values())):
                continue
            for name, value in kept.items():
                if now.get(name, _ABSENT) is not value and (
                    inspect.isroutine(value) or isinstance(value, staticmethod)
                ):
                    yield owner, name, value
            if whole:  # a module gets names by imports, a class does not
                for name in now.keys() - kept.keys():
                    yield owner, name, _ABSENT


def forget_compiled() -> None:
    """As in a process in which torch has compiled nothing yet."""
    import torch._dynamo.utils

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch._dynamo.utils.compilation_time_metrics.clear()


def _torchs(owner: Any, name: str) -> bool:
    code = getattr(vars(owner).get(name), "__code__", None)
    return name in _LEFT_BY_OTHERS or (code is not None and f"{os.sep}torch{os.sep}" in code.co_filename)


def _difference(kept: Any, now: Any) -> str:
    if isinstance(kept, dict):
        names = [name for name in {**kept, **now} if kept.get(name, _ABSENT) != now.get(name, _ABSENT)]
        return ", ".join(f"{name}={now.get(name, 'gone')!r}" for name in names)
    return f"{kept!r} -> {now!r}"


def _values() -> dict[str, Value]:
    return {**_PLAIN, **(_of_torch() if "torch.optim" in sys.modules else {})}


def _list(owner: Any, name: str) -> Value:
    return lambda: list(getattr(owner, name)), lambda kept: getattr(owner, name).__setitem__(slice(None), kept)


def _dict(found: Any) -> Value:
    return lambda: dict(found), lambda kept: (found.clear(), found.update(kept))


def _only_compared(read: Callable[[], Any]) -> Value:
    return read, lambda _kept: None


def _flushes_denormals() -> bool:
    import torch

    return not torch.full((1,), 1e-39).mul(0.5).item()


def _own_callbacks() -> list[Any]:
    return [callback for callback in gc.callbacks if getattr(callback, "__module__", "").startswith("advisor")]


def _set_callbacks(kept: list[Any]) -> None:
    for callback in set(_own_callbacks()) - set(kept):
        gc.callbacks.remove(callback)


def _environment() -> dict[str, str]:
    others = ("PYTEST_CURRENT_TEST", "KMP_")  # the latter are set where scikit-learn is imported
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def _set_environment(kept: dict[str, str]) -> None:
    for name in _environment().keys() - kept.keys():
        del os.environ[name]
    os.environ.update(kept)


def _set_signals(kept: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, kept, strict=True):
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


_PLAIN: dict[str, Value] = {
    "os.environ": (_environment, _set_environment),
    "the working directory": (os.getcwd, os.chdir),
    "sys.path": _list(sys, "path"),
    "sys.argv": _list(sys, "argv"),
    "gc.callbacks": (_own_callbacks, _set_callbacks),
    "gc.isenabled()": (gc.isenabled, lambda kept: (gc.enable if kept else gc.disable)()),
    "gc.get_threshold()": (gc.get_threshold, lambda kept: gc.set_threshold(*kept)),
    "signal handlers": (lambda: [signal.getsignal(number) for number in _SIGNALS], _set_signals),
}


def _unseen() -> dict[str, Value]:
    """What stays for the whole process where advisor watches a script, and is put back without a word."""
    imports: Any = sys.modules.get("advisor.agent.base.imports")
    return {"sys.meta_path": _list(sys, "meta_path"), **({"imports": _dict(imports._waiting)} if imports else {})}


def _of_torch() -> dict[str, Value]:
    import torch
    from torch.nn.modules import module
    from torch.optim import optimizer

    c: Any = torch._C
    cudnn: Any = torch.backends.cudnn
    return {
        "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
        "torch.set_flush_denormal()": (_flushes_denormals, torch.set_flush_denormal),
        "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
        "torch.is_grad_enabled()": (torch.is_grad_enabled, torch.set_grad_enabled),
        "the precision of products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda kept: torch.set_autocast_enabled("cpu", kept)),
        "cudnn.benchmark": (lambda: cudnn.benchmark, lambda kept: setattr(cudnn, "benchmark", kept)),
        "modes of dispatch": _only_compared(c._len_torch_dispatch_stack),
        "modes of functions": _only_compared(c._len_torch_function_stack),
        "hooks on saved tensors": _only_compared(lambda: c._autograd._top_saved_tensors_default_hooks(True)),
        "hooks before all steps": _dict(optimizer._global_optimizer_pre_hooks),
        "hooks after all steps": _dict(optimizer._global_optimizer_post_hooks),
        "hooks before all forwards": _dict(module._global_forward_pre_hooks),
        "hooks after all forwards": _dict(module._global_forward_hooks),
        "hooks on all backwards": _dict(module._global_backward_hooks),
    }


def _owners() -> Iterator[tuple[Any, bool]]:
    """Modules and classes whose functions are compared, and whether what is new there counts, too."""
    for module in _MODULES:
        yield module, False
    if "torch.optim" not in sys.modules:
        return
    for name in _TORCH_MODULES:
        if name in sys.modules:
            yield sys.modules[name], False
    for name, cls in _TORCH_CLASSES:
        if name in sys.modules:
            yield getattr(importlib.import_module(name), cls), True
