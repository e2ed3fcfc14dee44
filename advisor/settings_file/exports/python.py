"""Module of plain torch that holds the settings, for scripts that must not depend on advisor.

Its names are always the same, whatever was found. A script that uses them gets other settings from another file.
"""

from __future__ import annotations

import inspect
from typing import Any

from ... import worker_seeds
from ._base import Batch, Draft, Emitter

LOADER = ("num_workers", "prefetch_factor", "pin_memory", "persistent_workers")
NOTHING = ["# nothing to do"]
DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}

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

CACHED = '''

class Cached(torch.utils.data.Dataset):
    """Keeps what was read once; for datasets that draw nothing at random, in loaders without workers."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.kept = {}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index not in self.kept:
            self.kept[index] = self.dataset[index]
        return copy.deepcopy(self.kept[index])
'''

SEEDED = """

# --- seeds for the generators that the dataset holds; for the loader that feeds the training --------------------------
# With a worker_init_fn of your own: DataLoader(..., **{{**fast.LOADER, "worker_init_fn": fast.WorkerSeeds(own)}})

{source}

LOADER["worker_init_fn"] = WorkerSeeds()
"""

CHECKPOINTED = '''

def checkpoint_blocks(model):
    """Blocks that repeat are computed again in the backward, instead of keeping what they computed."""
    for parent in list(model.modules()):
        blocks = list(parent.children())
        repeated = len(blocks) > 1 and len({type(block) for block in blocks}) == 1
        if repeated and isinstance(parent, (torch.nn.ModuleList, torch.nn.Sequential)):
            for block in blocks:
                block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
'''


def _emit(draft: Draft) -> str:
    training = draft.training
    precision = draft.document.config.as_dict().get("precision")
    loader: dict[str, Any] = draft.keywords({name: name for name in LOADER})
    batch = draft.batch()
    if batch.micro is not None:
        loader["batch_size"] = batch.micro
    fused = draft.take("fused_optimizer")
    cached, checkpointed = bool(draft.take("cache_dataset")), bool(draft.take("activation_checkpointing"))
    set_up, prepare = _set_up(draft), _prepare(draft, checkpointed)
    seeded = draft.take_worker_seeds()
    dtype = DTYPES.get(str(precision))
    if precision in (*DTYPES, "fp32", "tf32"):
        draft.take("precision")
    draft.leave_rest()
    text = MODULE.format(
        command=_in_docstring(draft.command()),
        optimizer=training.optimizer if (training.optimizer or "").isidentifier() else "AdamW",
        imports=_imports(cached=cached, checkpointed=checkpointed, plain=dtype is None, seeded=seeded),
        loader=loader,
        fused={str(fused): True} if fused in ("fused", "foreach") else {},
        accumulate=_accumulate(draft, batch),
        device=training.device if training.device in ("cpu", "cuda", "xpu", "mps") else "cuda",
        scaled=precision == "fp16",
        set_up=_block(set_up or NOTHING),
        kept="Cached(dataset)" if cached else "dataset",
        prepare=_block(prepare or NOTHING),
        autocast=f"torch.autocast(torch.device(device).type, dtype={dtype})" if dtype else "contextlib.nullcontext()",
    )
    parts = [(CACHED, cached), (CHECKPOINTED, checkpointed), (_seeding() if seeded else "", seeded)]
    return text + "".join(part for part, needed in parts if needed)


def _seeding() -> str:
    """Return the source of `worker_seeds`, without the lines that must stand at the top of a module."""
    source = inspect.getsource(worker_seeds).replace("from __future__ import annotations\n", "")
    return SEEDED.format(source=source.strip())


def _set_up(draft: Draft) -> list[str]:
    lines = []
    if draft.has("threads"):
        lines.append(f"torch.set_num_threads({draft.take('threads')!r})")
    if draft.has("cudnn_benchmark"):
        lines.append(f"torch.backends.cudnn.benchmark = {draft.take('cudnn_benchmark')!r}")
    precision = draft.document.config.as_dict().get("precision")
    if precision in ("tf32", "fp32"):
        lines.append(f'torch.set_float32_matmul_precision("{"high" if precision == "tf32" else "highest"}")')
        lines.append(f"torch.backends.cudnn.allow_tf32 = {precision == 'tf32'}")
    return lines


def _prepare(draft: Draft, checkpointed: bool) -> list[str]:
    lines = []
    if draft.document.config.as_dict().get("memory_format") == "channels_last":
        draft.take("memory_format")
        lines.append("model = model.to(memory_format=torch.channels_last)")
    if checkpointed:
        lines.append("checkpoint_blocks(model)")
    if draft.has("compile"):
        mode = draft.take("compile")
        lines.append(f"model = torch.compile(model, mode={mode!r})")
    return lines


def _accumulate(draft: Draft, batch: Batch) -> int:
    """Return the baseline's value if the settings say nothing; return 1, which the draft reports, if it is unknown."""
    known = draft.training
    if batch.parts is not None:
        return batch.parts
    if batch.micro is None and batch.update is None and known.batch_size and known.samples_per_update:
        return max(1, known.samples_per_update // (known.batch_size * known.processes))
    return 1


def _imports(*, cached: bool, checkpointed: bool, plain: bool, seeded: bool) -> str:
    standard = [("contextlib", plain), ("copy", cached), ("functools", checkpointed)]
    lines = ["from __future__ import annotations", ""] if seeded else []
    lines += [f"import {name}" for name, needed in standard if needed]
    lines += [*([""] if lines else []), "import torch"]
    return "\n".join([*lines, *(["from torch.utils.checkpoint import checkpoint"] if checkpointed else [])])


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
