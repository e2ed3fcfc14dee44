"""Reading beside the script without a trace: random states put back, and samplers independent of the script's."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import random
import sys
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

from ...refused import Refused
from ...worker_seeds import generators, is_generator

GLOBALS = 2
"""Number of global generators at the head of the states: those of torch and Python."""
FEW_PARTS = 100
"""Length up to which a sequence is looked at part by part; longer ones hold numbers, and are written out at once."""
MOST_WATCHED = 50
"""Most generators whose states are compared: further ones belong to single samples, and the first tell as much."""


@contextlib.contextmanager
def preserved_random_states(*owners: object) -> Iterator[None]:
    """Undo all draws made inside: from the global states, and from generators that the owners hold."""
    states = global_states()
    held = [(generator, state_of(generator)) for _, generator in generators(*owners)]
    try:
        yield
    finally:
        set_global_states(states)
        for generator, state in held:
            set_state(generator, state)


def global_states() -> tuple[Any, Any, Any]:
    """Return the states of the generators that torch (on the CPU), Python and NumPy share."""
    numpy = sys.modules.get("numpy")
    torch_state = sys.modules["torch"].get_rng_state()
    return torch_state, random.getstate(), numpy.random.get_state() if numpy is not None else None


def set_global_states(states: tuple[Any, Any, Any]) -> None:
    torch_state, python_state, numpy_state = states
    sys.modules["torch"].set_rng_state(torch_state)
    random.setstate(python_state)
    numpy = sys.modules.get("numpy")
    if numpy is not None and numpy_state is not None:
        numpy.random.set_state(numpy_state)


class RandomStates:
    """Present random states: the global ones, those that the owners hold, and those of the first one's module."""

    def __init__(self, owner: object, *more: object) -> None:
        module = sys.modules.get(type(owner).__module__)
        beside = [value for value in list(vars(module).values()) if is_generator(value)] if module is not None else []
        self._held = [*(generator for _, generator in generators(owner, *more)[:MOST_WATCHED]), *beside]
        self._seen = self._now()
        self.drawn = 0
        """Digest of the states that the draws seen last began and ended with; 0 if only torch's or Python's global
        generator has drawn, which torch seeds in every worker."""

    def moved(self) -> bool:
        """Return whether anything was drawn since the last call, or since creation."""
        before, self._seen = self._seen, self._now()
        moved = [not same_state(one, other) for one, other in zip(before, self._seen)]
        last = GLOBALS + len(self._held)
        drawn = [n for n in range(GLOBALS, last) if moved[n]] or [n for n in range(last, len(moved)) if moved[n]]
        self.drawn = digest([(before[n], self._seen[n]) for n in drawn]) if drawn else 0
        return any(moved)

    def _now(self) -> list[Any]:
        numpy = sys.modules.get("numpy")
        states = [sys.modules["torch"].get_rng_state(), random.getstate(), *map(state_of, self._held)]
        return [*states, numpy.random.get_state()] if numpy is not None else states


def digest(states: object) -> int:
    """Return a number of 63 bits, never 0, that is equal for equal states, in other processes too."""
    found = hashlib.blake2b(digest_size=8)
    waiting = [states]
    while waiting:
        state: Any = waiting.pop()
        if isinstance(state, sys.modules["torch"].Tensor):
            found.update(bytes(state.tolist()))
        elif hasattr(state, "tobytes"):
            found.update(state.tobytes())
        elif isinstance(state, dict):
            waiting.extend(state.items())
        elif isinstance(state, (tuple, list)) and len(state) < FEW_PARTS:
            waiting.extend(state)
        else:
            found.update(repr(state).encode())
    return int.from_bytes(found.digest(), "big") >> 1 | 1


def same_state(one: object, other: Any) -> bool:
    """Compare states as torch, Python and numpy give them: numbers, tensors and arrays in tuples and dictionaries."""
    if isinstance(one, sys.modules["torch"].Tensor):
        return bool(one.equal(other))
    if hasattr(one, "tobytes"):
        return bool((one == other).all())
    if isinstance(one, tuple) and len(one) < 10:  # Python's own 625 numbers are compared at once
        return len(one) == len(other) and all(map(same_state, one, other))
    if isinstance(one, dict):
        return all(same_state(value, other[name]) for name, value in one.items())
    return bool(one == other)


def private_sampler(sampler: Any) -> Any:
    """Return a sampler that draws the same kind of order and shares no state with the script's.

    Raises Refused if reading it would take indices away from the script.
    """
    if isinstance(sampler, GeneratorType) or hasattr(type(sampler), "__next__"):
        raise Refused(
            f"{type(sampler).__name__} is its own iterator: a second reader would consume the script's indices"
        )
    if is_generator(sampler):
        return copy.deepcopy(sampler)
    if not hasattr(sampler, "__dict__"):
        return sampler  # a list, a range: nothing changes when it is read
    clone = copy.copy(sampler)
    for name, value in list(vars(sampler).items()):
        if is_generator(value):
            clone.__dict__[name] = copied_generator(value)
        elif isinstance(value, GeneratorType) or (_is_sampler(value) and value is not sampler):
            clone.__dict__[name] = private_sampler(value)
    return clone


def _is_sampler(value: object) -> bool:
    from torch.utils.data import Sampler

    return isinstance(value, Sampler)


def copied_generator(generator: object) -> Any:
    torch = sys.modules["torch"]
    if isinstance(generator, torch.Generator):
        clone = torch.Generator(device=generator.device)
        clone.set_state(generator.get_state())
        return clone
    return copy.deepcopy(generator)


def state_of(generator: Any) -> Any:
    """Return the generator's state; None if a class of the user's own gives none."""
    try:
        if hasattr(generator, "bit_generator"):
            return copy.deepcopy(generator.bit_generator.state)
        if hasattr(generator, "getstate"):
            return generator.getstate()
        return generator.get_state() if hasattr(generator, "get_state") else copy.deepcopy(generator.state)
    except Exception:
        return None


def set_state(generator: Any, state: object) -> None:
    if state is None:
        return
    if hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    elif hasattr(generator, "setstate"):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    else:
        generator.state = state
