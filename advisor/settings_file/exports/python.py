"""Module of plain torch that holds the settings, for scripts that must not depend on advisor.

It has a name for each thing that the settings change, and no others; its docstring shows where they go in a script.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ... import worker_seeds
from ._base import Draft, Emitter

SEEDED = """

# --- seeds for the generators that the dataset holds; for the loader that feeds the training --------------------------
# With a worker_init_fn of your own: DataLoader(..., **{{**fast.LOADER, "worker_init_fn": fast.WorkerSeeds(own)}})

{source}

LOADER["worker_init_fn"] = WorkerSeeds({then})
"""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Parts of the module; empty ones are left out."""

    loader: dict[str, Any]
    seeded: bool
    worker_init: str
    """Name of the function that each of the loader's workers calls first."""
    keep: str
    set_up: list[str]
    prepare: list[str]
    optimizer: dict[str, Any]
    optimizer_class: str
    schedule: list[str]
    """Body of the function that makes the scheduler of the learning rate."""
    updates: int
    """Length of the training that the schedule is made for."""
    accumulate: int
    """Backward passes per update; 1 if the settings leave the script's number, or it is unknown."""
    dtype: str
    """Dtype of autocast, in torch's words."""
    scaled: bool
    device: str

    @property
    def has_loader(self) -> bool:
        return bool(self.loader or self.seeded or self.worker_init)


def _emit(draft: Draft) -> str:
    training, batch = draft.training, draft.batch()
    found = draft.express()
    parts = _Parts(
        loader=found.get("loader", {}) | ({"batch_size": batch.micro} if batch.micro is not None else {}),
        seeded=draft.take_worker_seeds(),
        worker_init=found.get("worker_init", ""),
        keep=found.get("keep", ""),
        set_up=found.get("set_up", []),
        prepare=found.get("prepare", []),
        optimizer=found.get("optimizer", {}),
        optimizer_class=name if (name := training.optimizer or "").isidentifier() else "AdamW",
        schedule=found.get("schedule", []),
        updates=found.get("schedule_updates", 0),
        accumulate=batch.parts or 1,
        dtype=found.get("autocast") or "",
        scaled=found.get("scaled", False),
        device=training.device if training.device in ("cpu", "cuda", "xpu", "mps") else "cuda",
    )
    values, functions = "\n".join(_values(parts)), "".join(f"\n\n{function}\n" for function in _functions(parts))
    rest = "".join([functions, *found.get("code", []), _worker_init(parts)])
    imports = _imports(found.get("imports", []), parts.seeded, uses_torch="torch." in values + rest)
    head = [_docstring(draft.command(), parts), imports, values]
    return "\n\n".join(part for part in head if part) + "\n" + rest


def _docstring(command: str, parts: _Parts) -> str:
    lines = [f'"""Settings for {_in_docstring(command)}', "in plain torch: nothing of advisor is needed."]
    example = list(_example(parts))
    if example:
        lines += ["", "    import fast_settings as fast", "", *(f"    {line}" for line in example)]
    else:
        lines[1] = "There are none: the script runs as it is."
    return "\n".join([*lines, '"""'])


def _example(parts: _Parts) -> Iterator[str]:
    """Yield the lines of a script that change."""
    if parts.set_up:
        yield "fast.set_up()"
    if parts.has_loader or parts.keep:
        keywords = ", **fast.LOADER" if parts.has_loader else ""
        yield f"loader = DataLoader({'fast.keep(dataset)' if parts.keep else 'dataset'}, shuffle=True{keywords})"
    if parts.prepare:
        yield "model = fast.prepare(model)"
    if parts.optimizer:
        rate = "" if "lr" in parts.optimizer else "lr=..., "
        yield f"optimizer = torch.optim.{parts.optimizer_class}(model.parameters(), {rate}**fast.OPTIMIZER)"
    if parts.schedule:
        yield "scheduler = fast.schedule(optimizer)"
    if parts.dtype or parts.scaled or parts.schedule or parts.accumulate > 1:
        yield from _loop(parts)


def _loop(parts: _Parts) -> Iterator[str]:
    several = parts.accumulate > 1
    yield "for step, (inputs, targets) in enumerate(loader, start=1):" if several else "for inputs, targets in loader:"
    indent = "    "
    if parts.dtype:
        yield f"{indent}with fast.autocast(device):"
        indent += "    "
    yield f"{indent}loss = criterion(model(inputs), targets){' / fast.ACCUMULATE' if several else ''}"
    yield f"    {'fast.SCALER.scale(loss)' if parts.scaled else 'loss'}.backward()"
    indent = "    "
    if several:
        yield f"{indent}if step % fast.ACCUMULATE == 0:"
        indent += "    "
    yield from (
        [f"{indent}fast.SCALER.step(optimizer)", f"{indent}fast.SCALER.update()"]
        if parts.scaled
        else [f"{indent}optimizer.step()"]
    )
    if parts.schedule:
        yield f"{indent}scheduler.step()"
    yield f"{indent}optimizer.zero_grad()"


def _values(parts: _Parts) -> Iterator[str]:
    if parts.has_loader:
        yield f"LOADER = {parts.loader!r}"
    if parts.optimizer:
        yield f"OPTIMIZER = {parts.optimizer!r}"
    if parts.accumulate > 1:
        yield f"ACCUMULATE = {parts.accumulate}  # backward passes that make an update"
    if parts.scaled:
        yield f"SCALER = torch.amp.GradScaler({parts.device!r})"


def _functions(parts: _Parts) -> Iterator[str]:
    if parts.set_up:
        yield _function("set_up()", "Call this once, before the model is made.", parts.set_up)
    if parts.keep:
        yield _function("keep(dataset)", "Return the dataset for the loader.", [f"return {parts.keep}"])
    if parts.prepare:
        text = "Return the model; call this with the model on its device, before the first step."
        yield _function("prepare(model)", text, [*parts.prepare, "return model"])
    if parts.schedule:
        text = "Return the scheduler of the learning rate, in place of your own; step it after each update."
        yield _function(f"schedule(optimizer, updates={parts.updates})", text, parts.schedule)
    if parts.dtype:
        made = f"return torch.autocast(torch.device(device).type, dtype={parts.dtype})"
        yield _function("autocast(device)", "Enter this for forward and loss; leave it before backward().", [made])


def _function(head: str, text: str, lines: list[str]) -> str:
    return "\n".join([f"def {head}:", f'    """{text}"""', *(f"    {line}".rstrip() for line in lines)])


def _worker_init(parts: _Parts) -> str:
    """Return the lines that give the loader its `worker_init_fn`, if it has one.

    Seeds come with the source of `worker_seeds`, without the lines that must stand at the top of a module.
    """
    if not parts.seeded:
        return f'\n\nLOADER["worker_init_fn"] = {parts.worker_init}\n' if parts.worker_init else ""
    source = inspect.getsource(worker_seeds).replace("from __future__ import annotations\n", "")
    return SEEDED.format(source=source.strip(), then=parts.worker_init)


def _imports(wanted: list[str], seeded: bool, *, uses_torch: bool) -> str:
    """Return the lines of imports: the standard library, then torch."""
    of_torch = [line for line in wanted if "torch" in line]
    groups = [
        ["from __future__ import annotations"] if seeded else [],
        sorted(set(wanted) - {*of_torch}),
        ["import torch", *of_torch] if uses_torch else of_torch,
    ]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _in_docstring(text: str) -> str:
    """Escape the user's text so that it cannot end the string it stands in."""
    return text.replace("\\", "/").replace('"""', "'''")


EMITTER = Emitter(
    id="python",
    title="module of plain torch",
    file_name="fast_settings.py",
    usage="import fast_settings as fast   # its first lines show the rest",
    emit=_emit,
)
