"""Keyword arguments of Lightning's Trainer, and of the loaders that its modules make; names of Lightning 2.6."""

from __future__ import annotations

from typing import Any

from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    import yaml

    batch = draft.batch()
    content: dict[str, dict[str, Any]] = {"trainer": {}, "dataloader": {}} | draft.express()
    if draft.training.device == "cpu":
        content["trainer"]["accelerator"] = "cpu"
    if batch.parts is not None:
        content["trainer"]["accumulate_grad_batches"] = batch.parts
    if batch.micro is not None:
        content["dataloader"]["batch_size"] = batch.micro
    head = (
        "# trainer: Trainer(**settings['trainer'], …), or the section of that name in a LightningCLI configuration;\n"
        "# dataloader: DataLoader(…, **settings['dataloader']) in train_dataloader().\n"
    )
    if "optimizer" in content:
        draft.need(
            "optimizer.init_args", "the section replaces the script's optimizer: add what else that is made with"
        )
        head += (
            "# optimizer: that section of a LightningCLI configuration, in place of configure_optimizers(); or there:\n"
            "#   torch's class, with self.parameters() and **settings['optimizer']['init_args'].\n"
        )
    return head + yaml.safe_dump(content, sort_keys=False)


EMITTER = Emitter(
    id="lightning",
    title="Trainer and loaders of Lightning",
    file_name="lightning.yaml",
    usage="settings = yaml.safe_load(open('lightning.yaml')); Trainer(**settings['trainer'], …)",
    emit=_emit,
)
