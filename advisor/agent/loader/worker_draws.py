"""Protection against workers that repeat draws: those started in place of the script's own copy a dataset's generators.

Each such generator gets a seed of its own in every worker and epoch (`worker_seeds`). It is first verified on copies
that the draws then differ. Draws from a state that cannot be found are detected by reading samples.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ...worker_seeds import MOST_GENERATORS, WorkerSeeds, attributes, generators, number_of, reseed, walk
from .random_states import copied_generator, preserved_random_states
from .record import bare_copy, is_iterable
from .sample_parts import PLAIN, equal

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

DRAWS = 4
"""Numbers of 53 bits to compare: different generators never agree in all of them."""
READ_SAMPLES = 2
TIMEOUT_S = 60
"""Timeout of the two workers that read these samples."""
NAMED = 3
"""Most generators named in a sentence."""


class WorkerDraws:
    """Findings on the dataset checked last."""

    def __init__(self) -> None:
        self._dataset: weakref.ref[Any] | None = None
        self._held: list[str] = []
        self._fault: str | None = None
        self._read: weakref.ref[Any] | None = None
        """Dataset whose samples have been read; `_why_read` is their reason against workers."""
        self._why_read: str | None = None
        self._starts = 0

    def held(self, loader: DataLoader[object]) -> list[str]:
        """Return paths to the generators that the loader's dataset and collate function hold."""
        self._inspect(loader)
        return self._held

    def fault(self, loader: DataLoader[object]) -> str | None:
        """Return why they cannot have seeds of their own in workers; None if they can, or if there are none."""
        self._inspect(loader)
        return self._fault

    def init_fn(self, loader: DataLoader[object]) -> Any:
        """Return the `worker_init_fn` of workers started now. Raises Refused if they would repeat draws."""
        self._inspect(loader)
        if self._fault is not None:
            raise Refused(self._fault)
        if not self._held:
            return loader.worker_init_fn
        self._starts += 1
        return WorkerSeeds(loader.worker_init_fn, start=self._starts)

    def refuse_hidden(self, loader: DataLoader[object], index: object, build: Callable[[Any], Any]) -> None:
        """Raise Refused if samples are drawn from a state that was not found and that workers would copy.

        `index` belongs to a batch that the script has read in its own process; `build` makes torch's iterator of a
        loader. Each dataset is checked once.
        """
        if is_iterable(loader) or index is None:
            return
        if self._read is None or self._read() is not loader.dataset:
            self._read = _reference(loader.dataset)
            self._why_read = _hidden(loader, index, build)
        if self._why_read is not None:
            raise Refused(self._why_read)

    def _inspect(self, loader: DataLoader[object]) -> None:
        if self._dataset is not None and self._dataset() is loader.dataset:
            return
        found = generators(loader.dataset, loader.collate_fn)
        self._held = [path for path, _ in found]
        self._fault = _fault(found, is_iterable(loader))
        self._dataset = _reference(loader.dataset)


def _reference(dataset: object) -> weakref.ref[Any] | None:
    try:
        return weakref.ref(dataset)
    except TypeError:  # a list: it is checked every time
        return None


def named(paths: list[str]) -> str:
    """Name the first of them in words."""
    more = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {more} more" if more > 0 else "")


# --- known generators -----------------------------------------------------------------------------------------------


def _fault(found: list[tuple[str, Any]], iterable: bool) -> str | None:
    if not found:
        return None
    if iterable:
        return (
            f"{named([path for path, _ in found])} may decide which worker delivers what: with different seeds the "
            "workers would disagree, and with equal ones they repeat each other"
        )
    if len(found) >= MOST_GENERATORS:
        return (
            f"the dataset holds {MOST_GENERATORS} random generators or more: workers would repeat their random numbers"
        )
    for place, (path, generator) in enumerate(found):
        why = _why_not_reseeded(generator, place)
        if why is not None:
            kind = f"{type(generator).__module__}.{type(generator).__qualname__}"
            return f"{path} ({kind}) {why}: workers would repeat its random numbers"
    return None


def _why_not_reseeded(generator: object, place: int) -> str | None:
    """Return why the generator cannot be reseeded; None if it can.

    It is tried on copies: two workers in one epoch, and one of them in the next. The script's own is left alone.
    """
    device = getattr(generator, "device", None)
    if device is not None and device.type != "cpu":
        return f"draws on {device}, which forked workers cannot use"
    first_epoch, next_epoch = 1, 2
    seeds = [number_of(first_epoch, 0, place), number_of(first_epoch + 1, 0, place), number_of(next_epoch, 1, place)]
    try:
        rows = [_drawn(copied_generator(generator))]
        for seed in seeds:
            copied = copied_generator(generator)
            reseed(copied, seed)
            rows.append(_drawn(copied))
    except Exception as error:  # a class of the user's own may refuse in any way
        return f"cannot be seeded separately in each worker ({type(error).__name__}: {error})"
    return None if len(set(rows)) == len(rows) else "gives the same numbers for every seed"


def _drawn(generator: Any) -> tuple[Any, ...]:
    torch = sys.modules["torch"]
    if isinstance(generator, torch.Generator):
        return tuple(torch.rand(DRAWS, dtype=torch.float64, generator=generator).tolist())
    if hasattr(generator, "random_raw"):
        return tuple(generator.random_raw(DRAWS).tolist())
    draw = generator.random_sample if hasattr(generator, "random_sample") else generator.random
    return tuple(draw() for _ in range(DRAWS))


# --- hidden random states -------------------------------------------------------------------------------------------


def _hidden(loader: DataLoader[object], index: object, build: Callable[[Any], Any]) -> str | None:
    """Describe any further random state that workers would copy; None if there is none, or if it is unknown."""
    some = index[:READ_SAMPLES] if loader._auto_collation and isinstance(index, list) else index
    before = _states(loader)
    try:
        if equal(_read(loader, some), _read(loader, some)) is None:
            return None
    except Exception:  # errors of the dataset are left for the script to meet
        return None
    changed = [path for path, value in _states(loader).items() if path in before and before[path] != value]
    name = type(loader.dataset).__name__
    try:
        alike = _alike_in_workers(loader, some, build)
    except Exception as error:
        return f"two workers cannot read {name}: {type(error).__name__}: {error}"
    if not alike:
        return None
    where = f"{named(changed)} changes" if changed else "an unidentified random state is used"
    return (
        f"{where} when {name} is read, and workers get copies of it: two of them gave the same random samples. Use a "
        "generator of NumPy, Python or torch that the dataset holds"
    )


def _read(loader: DataLoader[object], index: object) -> Any:
    """Return a batch as torch makes it in this process; all random states are put back afterwards."""
    from torch.utils.data import _DatasetKind

    create: Any = _DatasetKind.create_fetcher
    fetcher = create(loader._dataset_kind, loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)
    with preserved_random_states(loader.dataset, loader.collate_fn):
        return fetcher.fetch(index)


def _alike_in_workers(loader: DataLoader[object], index: object, build: Callable[[Any], Any]) -> bool:
    """Return whether two workers make the same batch with all known generators set alike.

    Any further random state was then copied. Draws of the operating system, and from states that a worker seeds
    itself, differ.
    """
    import torch

    own = bare_copy(loader)
    settings = own.__dict__  # bypasses DataLoader's guard against changes after construction
    settings.update(num_workers=2, prefetch_factor=2, persistent_workers=False, pin_memory=False, timeout=TIMEOUT_S)
    settings["generator"] = torch.Generator()
    settings["batch_sampler" if loader._auto_collation else "sampler"] = [index, index]
    settings["worker_init_fn"] = seeds = WorkerSeeds(loader.worker_init_fn)
    seeds.alike = True
    iterator = build(own)
    try:
        return equal(next(iterator), next(iterator)) is None
    finally:
        iterator._shutdown_workers()


def _states(loader: DataLoader[object]) -> dict[str, Any]:
    """Return the number and text attributes of objects that the dataset and the collate function hold."""
    return {
        f"{path}.{name}": value
        for path, owner in walk(loader.dataset, loader.collate_fn)
        if not isinstance(owner, type)
        for name, value in attributes(owner)
        if isinstance(value, PLAIN)
    }
