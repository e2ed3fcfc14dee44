"""Keyword arguments of Lightning's Trainer, and of the loaders that its modules make; names of Lightning 2.6."""

from __future__ import annotations

from typing import Any

from ._base import Draft, Emitter

LOADER = ("num_workers", "prefetch_factor", "pin_memory", "persistent_workers")
PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def _emit(draft: Draft) -> str:
    import yaml

    trainer: dict[str, Any] = {}
    if draft.training.device == "cpu":
        trainer["accelerator"] = "cpu"
    if draft.document.config.as_dict().get("precision") in PRECISION:
        trainer["precision"] = PRECISION[str(draft.take("precision"))]
    draft.leave("precision", "the Trainer has no such precision")
    if draft.has("cudnn_benchmark"):
        trainer["benchmark"] = draft.take("cudnn_benchmark")
    batch = draft.batch()
    if batch.parts is not None:
        trainer["accumulate_grad_batches"] = batch.parts
    loader = draft.keywords({name: name for name in LOADER})
    if batch.micro is not None:
        loader["batch_size"] = batch.micro
    draft.leave("compile", "the Trainer does not compile: compile the model before fit()")
    draft.leave("fused_optimizer", "configure_optimizers() creates the optimizer")
    draft.leave_rest()
    head = (
        "# trainer: Trainer(**settings['trainer'], …), or the section of that name in a LightningCLI configuration;\n"
        "# dataloader: DataLoader(…, **settings['dataloader']) in train_dataloader().\n"
    )
    return head + yaml.safe_dump({"trainer": trainer, "dataloader": loader}, sort_keys=False)


EMITTER = Emitter(
    id="lightning",
    title="Trainer and loaders of Lightning",
    file_name="lightning.yaml",
    usage="settings = yaml.safe_load(open('lightning.yaml')); Trainer(**settings['trainer'], …)",
    emit=_emit,
)
