"""Random generators that a dataset holds, each given a seed of its own in every worker and epoch.

A worker gets a copy of the dataset, including its generators. Without seeds of their own, all workers draw the same,
and restarted workers draw the same again. This file is self-contained: a spawned worker, and a script without advisor,
have nothing else.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import operator
import os
import random
import sys
import types
from collections.abc import Iterator
from typing import Any, Callable

MOST_OBJECTS = 2000
"""Most objects visited: a dataset that holds a tree of objects is not walked to its end."""
MOST_GENERATORS = 1000
MOST_ITEMS = 100
"""Length from which a container is sampled before it is searched: longer ones mostly hold data."""
SAMPLED_ITEMS = 20
DATA_DEPTH = 3
"""Depth of nested containers and records that can be plain data, such as annotations."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, os.PathLike, type(...), range, slice)
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque)
_BEFORE_READING = ("__init__", "__new__", "__init_subclass__", "__post_init__")
"""Methods that have run before a dataset is read; their generators are not drawn from again."""
_WITHOUT_GENERATORS = ("torch", "numpy", "builtins", "typing", "collections", "abc")
"""Packages whose classes and functions draw only from given generators, or from the global ones."""
_FILE = globals().get("__file__")


class WorkerSeeds:
    """Loader's `worker_init_fn` that gives new seeds to all generators in the worker's copy of the dataset.

    The seeds come from the worker's own seed, which torch draws anew for every epoch. `then` is the script's own
    `worker_init_fn`, which runs afterwards. Generators that the loader's `collate_fn` holds are included.
    """

    def __init__(self, then: Callable[[int], Any] | None = None, *, start: int = 0) -> None:
        self.then = then
        self.start = start
        """Number of this start of workers, for workers started twice in one epoch."""
        self.alike = False
        """True if all workers get the same seeds: if their samples still differ, no known generator is the source."""

    def __call__(self, worker_id: int) -> None:
        data = sys.modules["torch"].utils.data
        info = data.get_worker_info()
        # Workers of an iterable dataset may share it out by equal draws, so their seeds differ by epoch only.
        agree = isinstance(info.dataset, data.IterableDataset)
        seed = 0 if self.alike else info.seed - (info.id if agree else 0)
        for place, (_, generator) in enumerate(generators(info.dataset, _collate_here())):
            reseed(generator, number_of(seed, self.start, place))
        if self.alike:
            _seed_global_generators()
        if self.then is not None:
            self.then(worker_id)

    def __reduce__(self) -> Any:
        """Pickle by the path of this file: the other process may be unable to import it by name."""
        if _FILE is None:
            return super().__reduce__()
        return object.__new__, (_Class(),), dict(self.__dict__)


def _collate_here() -> Any:
    """Return the `collate_fn` of the worker that runs this: torch passes it only to the worker's loop."""
    frame: Any = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_worker_loop":
        frame = frame.f_back
    return frame.f_locals.get("collate_fn") if frame is not None else None


class _Class:
    def __reduce__(self) -> Any:
        return operator.getitem, (_Namespace(), "WorkerSeeds")


class _Namespace:
    def __reduce__(self) -> Any:
        import runpy

        return runpy.run_path, (os.path.abspath(str(_FILE)),)


def number_of(seed: int, start: int, place: int) -> int:
    """Return the seed of the generator found at this place: 63 bits, unrelated to the neighbouring seeds."""
    return random.Random(f"{seed} {start} {place}").getrandbits(63)


def reseed(generator: Any, number: int) -> None:
    """Reseed the generator in place: all other holders draw from the same one."""
    if isinstance(generator, random.Random):
        generator.seed(number)
    elif isinstance(generator, sys.modules["torch"].Generator):
        generator.manual_seed(number)
    else:
        drawing = sys.modules["numpy"].random
        bits = _bits_of(generator)
        fresh = type(bits)(drawing.SeedSequence(number))
        bits.state = fresh.state
        if isinstance(generator, drawing.RandomState):  # it caches half of a pair of normal draws
            generator.set_state(drawing.RandomState(fresh).get_state(legacy=False))


def _bits_of(generator: Any) -> Any:
    return getattr(generator, "bit_generator", None) or getattr(generator, "_bit_generator", generator)


def _seed_global_generators() -> None:
    random.seed(0)
    sys.modules["torch"].manual_seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def is_generator(value: Any) -> bool:
    """Return whether it draws from a state of its own; False for global generators, which torch seeds in workers."""
    if _is(value, random.Random):
        return not _is(value, random.SystemRandom) and value is not getattr(random, "_inst", None)
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and _is(value, torch.Generator):
        return value is not torch.default_generator
    if numpy is None:
        return False
    drawing = numpy.random
    kinds = (drawing.Generator, drawing.RandomState, drawing.BitGenerator)
    return _is(value, kinds) and value is not drawing.mtrand._rand


# --- search ---------------------------------------------------------------------------------------------------------


def generators(*owners: Any) -> list[tuple[str, Any]]:
    """Return the generators that these objects hold or their code refers to, each with the path to it."""
    found = ((path, value) for path, value in walk(*owners) if is_generator(value))
    return list(itertools.islice(found, MOST_GENERATORS))


def walk(*owners: Any) -> Iterator[tuple[str, Any]]:
    """Yield everything that these objects hold or their code refers to, nearest first, each with the path to it.

    No code of the user runs: attributes are read directly; properties and methods are not called.
    """
    waiting = collections.deque((_root_name(owner), owner) for owner in owners)
    seen: dict[int, Any] = {}
    while waiting and len(seen) < MOST_OBJECTS:
        path, value = waiting.popleft()
        if _is(value, _PLAIN) or id(value) in seen:
            continue
        seen[id(value)] = value
        yield path, value
        if not is_generator(value):
            with contextlib.suppress(Exception):  # a class of the user's own may fail in any way
                waiting.extend(_parts(path, value))


def _is(value: Any, kinds: Any) -> bool:
    """Check like `isinstance`, but only the type itself: a proxy would run code of its own to answer."""
    return issubclass(type(value), kinds)


def _root_name(owner: Any) -> str:
    return _name_of(owner) if _is(owner, types.FunctionType) else type(owner).__name__


def _name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects one step below."""
    if _is(value, types.FunctionType):
        yield from _parts_of_function(path, value)
    elif _is(value, (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)):
        if not _is(value.__self__, types.ModuleType):
            yield path, value.__self__
        yield path, getattr(value, "__func__", None)
    elif _is(value, (staticmethod, classmethod)):
        yield path, value.__func__
    elif _is(value, property):
        yield path, value.fget
    elif _is(value, type):
        yield from _parts_of_class(value)
    elif _is(value, functools.partial):
        yield path, value.func
        yield path, (*value.args, *value.keywords.values())
    elif not _is(value, types.ModuleType) and not _is_array(value):
        if _is(value, _CONTAINERS):
            yield from _items(path, value)
        yield from ((f"{path}.{name}", part) for name, part in attributes(value))
        yield type(value).__name__, type(value)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    kinds = (sys.modules["torch"].Tensor,) + ((numpy.ndarray, numpy.generic) if numpy is not None else ())
    return _is(value, kinds)


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the object's own attributes, from its dictionary and slots."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = None
    if _is(own, dict):
        yield from list(own.items())
    for kind in type(value).__mro__:
        if "__slots__" not in vars(kind):
            continue
        for name, member in vars(kind).items():
            if _is(member, types.MemberDescriptorType):
                try:
                    yield name, member.__get__(value)
                except AttributeError:  # the slot is still empty
                    continue


def _items(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the items of a container; nothing if it is long and holds plain data."""
    kind = next(kind for kind in _CONTAINERS if _is(value, kind))
    pairs = dict.items(value) if kind is dict else enumerate(kind.__iter__(value))
    first = list(itertools.islice(pairs, MOST_ITEMS))
    if len(first) == MOST_ITEMS and all(_is_data(item, DATA_DEPTH) for _, item in first[:SAMPLED_ITEMS]):
        return
    rest = dict.items(value) if kind is dict else enumerate(kind.__iter__(value))
    for key, item in itertools.islice(rest, MOST_OBJECTS):
        yield f"{path}[{key!r}]" if type(key) in (str, int) else path, item


def _is_data(value: Any, depth: int) -> bool:
    if _is(value, _PLAIN) or _is_array(value):
        return True
    if not depth or is_generator(value) or callable(value) or _is(value, types.ModuleType):
        return False
    if type(value) in _CONTAINERS:
        parts = iter(value.values() if _is(value, dict) else value)
    else:
        parts = (part for _, part in attributes(value))
    return all(_is_data(part, depth - 1) for part in itertools.islice(parts, SAMPLED_ITEMS))


def _parts_of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the class attributes, and the code of its methods."""
    for base in kind.__mro__:
        if _top(base.__module__) not in _WITHOUT_GENERATORS:
            for name, part in list(vars(base).items()):
                if name not in _BEFORE_READING and not name.startswith("__slots"):
                    yield f"{base.__name__}.{name}", part


def _parts_of_function(path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield its closure, its defaults, and the objects that its code names in its module."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield f"{path}.{name}", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    yield path, function.__defaults__ or ()
    yield path, function.__kwdefaults__ or {}
    yield path, dict(function.__dict__)
    if _top(function.__module__) not in _WITHOUT_GENERATORS:
        yield from _named(function)


def _named(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield module-level objects that the code names; for a library only generators, as its code is not followed."""
    scope, every = function.__globals__, function.__code__
    read, names = _names_in(every)
    library = _is_library(every.co_filename)
    for name in read:
        value = scope.get(name, sys.modules.get(name))
        if _is(value, types.ModuleType):
            yield from _of_module(value, names, library, 2)
        elif not library or is_generator(value):
            yield f"{scope.get('__name__')}.{name}", value


def _of_module(module: Any, names: frozenset[str], library: bool, depth: int) -> Iterator[tuple[str, Any]]:
    if _top(module.__name__) in _WITHOUT_GENERATORS:
        return
    library = library or _is_library(getattr(module, "__file__", None) or "<frozen")
    for name in sorted(names & vars(module).keys()):
        value = vars(module)[name]
        if _is(value, types.ModuleType):
            if depth:
                yield from _of_module(value, names, library, depth - 1)
        elif not library or is_generator(value):
            yield f"{module.__name__}.{name}", value


@functools.lru_cache(maxsize=1000)
def _names_in(code: types.CodeType) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names that the code looks up in its module or imports; and all names it uses, including attributes."""
    import dis

    read = [
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME")
    ]
    names = set(code.co_names)
    for inner in code.co_consts:
        if _is(inner, types.CodeType):
            more, used = _names_in(inner)
            read.extend(more)
            names |= used
    return tuple(dict.fromkeys(read)), frozenset(names)


def _is_library(file: str) -> bool:
    return (
        file.startswith(("<frozen", os.path.dirname(os.__file__))) or "site-packages" in file or "dist-packages" in file
    )


def _top(module: Any) -> str:
    return str(module).partition(".")[0]
