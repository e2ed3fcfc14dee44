"""Module of plain torch that holds the settings, for scripts that must not depend on advisor.

Its names are always the same, whatever was found. A script that uses them gets other settings from another file.
"""

from __future__ import annotations

import inspect

from ... import worker_seeds
from ._base import Batch, Draft, Emitter

NOTHING = ["# nothing to do"]

MODULE = '''\
"""Settings for {command}
in plain torch: nothing of advisor is needed.

    import fast_settings as fast

    fast.set_up()
    loader = DataLoader(fast.keep(dataset), shuffle=True, **fast.LOADER)
    model = fast.prepare(model)
    optimizer = torch.optim.{optimizer}(model.parameters(), lr=..., **fast.OPTIMIZER)
    for step, (inputs, targets) in enumerate(loader, start=1):
        with fast.autocast(device):
            loss = criterion(model(inputs), targets) / fast.ACCUMULATE
        fast.SCALER.scale(loss).backward()
        if step % fast.ACCUMULATE == 0:
            fast.SCALER.step(optimizer)
            fast.SCALER.update()
            optimizer.zero_grad()
"""

{imports}

LOADER = {loader!r}
OPTIMIZER = {fused!r}
ACCUMULATE = {accumulate}  # backwards that make an update
SCALER = torch.amp.GradScaler({device!r}, enabled={scaled})  # where it is not enabled it does nothing


def set_up():
    """Once, before the model is made."""
{set_up}


def keep(dataset):
    """The dataset for the loader."""
    return {kept}


def prepare(model):
    """The model, on its device, before the first step."""
{prepare}
    return model


def autocast(device):
    """For forward and loss; leave it before backward()."""
    return {autocast}
'''

SEEDED = """

# --- seeds for the generators that the dataset holds; for the loader that feeds the training --------------------------
# With a worker_init_fn of your own: DataLoader(..., **{{**fast.LOADER, "worker_init_fn": fast.WorkerSeeds(own)}})

{source}

LOADER["worker_init_fn"] = WorkerSeeds()
"""


def _emit(draft: Draft) -> str:
    training, batch = draft.training, draft.batch()
    found = draft.express()
    loader = found.get("loader", {}) | ({"batch_size": batch.micro} if batch.micro is not None else {})
    seeded = draft.take_worker_seeds()
    dtype = found.get("autocast")
    text = MODULE.format(
        command=_in_docstring(draft.command()),
        optimizer=training.optimizer if (training.optimizer or "").isidentifier() else "AdamW",
        imports=_imports(found.get("imports", []), plain=dtype is None, seeded=seeded),
        loader=loader,
        fused=found.get("optimizer", {}),
        accumulate=_accumulate(draft, batch),
        device=training.device if training.device in ("cpu", "cuda", "xpu", "mps") else "cuda",
        scaled=found.get("scaled", False),
        set_up=_block(found.get("set_up", NOTHING)),
        kept=found.get("keep", "dataset"),
        prepare=_block(found.get("prepare", NOTHING)),
        autocast=f"torch.autocast(torch.device(device).type, dtype={dtype})" if dtype else "contextlib.nullcontext()",
    )
    return "".join([text, *found.get("code", []), _seeding() if seeded else ""])


def _seeding() -> str:
    """Return the source of `worker_seeds`, without the lines that must stand at the top of a module."""
    source = inspect.getsource(worker_seeds).replace("from __future__ import annotations\n", "")
    return SEEDED.format(source=source.strip())


def _accumulate(draft: Draft, batch: Batch) -> int:
    """Return the baseline's value if the settings say nothing; return 1, which the draft reports, if it is unknown."""
    known = draft.training
    if batch.parts is not None:
        return batch.parts
    if batch.micro is None and batch.update is None and known.batch_size and known.samples_per_update:
        return max(1, known.samples_per_update // (known.batch_size * known.processes))
    return 1


def _imports(wanted: list[str], *, plain: bool, seeded: bool) -> str:
    """Return the lines of imports: the standard library, then torch."""
    of_torch = [line for line in wanted if "torch" in line]
    standard = sorted({*wanted, *(["import contextlib"] if plain else [])} - {*of_torch})
    lines = [*(["from __future__ import annotations", ""] if seeded else []), *standard]
    return "\n".join([*lines, *([""] if lines else []), "import torch", *of_torch])


def _block(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


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
