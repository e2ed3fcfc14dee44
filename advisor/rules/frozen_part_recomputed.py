"""A frozen part of the model computes the same output for a sample in every epoch."""

from __future__ import annotations

from ..types import Ceiling, Evidence, FrozenPart, Place, Severity, WhatIf
from ..types.diagnosis import REST_GAINS
from ._base import CRITICAL_SHARE, WARNING_SHARE, Example, Hit, Judgement, Rule, ceiling_of, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader, what_if
from ._operator_examples import frozen_part, operators
from ._read import MAX_PLACES, compute_share, percent, phase_share, traced_operators

LEAST_LEFT = 0.25
"""Part of the measured rest that stays at least once features are loaded instead of inputs."""
MIN_GAIN = 1.05
"""Measured speed-up without the part, below which it costs nothing."""


def judge(evidence: Evidence) -> Judgement:
    facts, loader = evidence.workload.facts, evidence.workload.train_loader
    if facts.dataset_draws or facts.collate_draws or facts.dataset_generators:
        return None  # augmented at random: no output is seen twice
    if loader is not None and loader.iterable and loader.length_samples is None:
        return None  # a stream may show each sample once
    parts = [part for part in _parts(evidence) if not part.draws_before]
    share = clamp(sum(_share(evidence, part) for part in parts))
    measured = evidence.what_ifs.get("frozen_features")
    if share < WARNING_SHARE or (measured is not None and measured.high < MIN_GAIN):
        return None
    return Hit(
        share=share,
        severity=_severity(evidence, parts, share, measured),
        evidence=f"{_names(parts)}, frozen, {'takes' if len(parts) == 1 else 'take'} {percent(share)} of the loop: for "
        "the same sample the output is the same in every epoch.",
        advice=_advice(evidence, parts),
        where=tuple(
            Place(file=part.file, line=part.line, function=part.function, share=_share(evidence, part))
            for part in _one_a_line(parts)
        ),
        ceiling=ceiling_of(measured, share, high=_high(evidence, measured, share)),
    )


def _severity(evidence: Evidence, parts: list[FrozenPart], share: float, measured: WhatIf | None) -> Severity:
    """Return the severity: of what was measured for sure, and less where data may be augmented."""
    unknown = evidence.workload.facts.dataset_draws is None
    if (measured is not None and measured.low < 1) or (unknown and share < CRITICAL_SHARE):
        return "info"
    return "warning" if unknown or any(part.varying for part in parts) else severity_of(share)


def _high(evidence: Evidence, measured: WhatIf | None, share: float) -> float:
    """Return the most that stored features can give: what loading the inputs costs now goes as well."""
    loading = phase_share(evidence, "data_wait", "host_to_device")
    if measured is None:
        return Ceiling.from_share(share, high=clamp(share + loading)).high
    left = 1 / max(measured.high, 1.0)
    return REST_GAINS / max(left - loading, left * LEAST_LEFT)


def _parts(evidence: Evidence) -> tuple[FrozenPart, ...]:
    used = traced_operators(evidence)
    return used.frozen_parts if used is not None else ()


def _share(evidence: Evidence, part: FrozenPart) -> float:
    """Return the part's share of the loop: by FLOPs on an accelerator, where a launch says nothing of its kernel."""
    if evidence.on_accelerator:
        return (part.flops_fraction or 0.0) * compute_share(evidence)
    return part.seconds_fraction * phase_share(evidence, "forward", "backward", "optimizer", "other")


def _names(parts: list[FrozenPart]) -> str:
    names = [f"`{part.name}`" if part.name else f"The {part.class_name}" for part in parts]
    more = f" and {len(names) - MAX_PLACES} more" if len(names) > MAX_PLACES else ""
    return f"{', '.join(names[:MAX_PLACES])}{more}"


def _one_a_line(parts: list[FrozenPart]) -> list[FrozenPart]:
    return list({(part.file, part.line): part for part in reversed(parts) if part.line}.values())[::-1][:MAX_PLACES]


def _advice(evidence: Evidence, parts: list[FrozenPart]) -> str:
    path = f"model.{parts[-1].name}" if parts[-1].name else "backbone"
    text = (
        f"Call `{path}` for each batch once before training, under `torch.no_grad()`, join its outputs with "
        "`torch.cat`, and train the rest on batches of `TensorDataset(features, targets)`. "
    )
    if len(parts) > 1:
        text = (
            f"Compute the output of the last of them (`{path}`) for each sample once, under `torch.no_grad()`, store "
            "it and train the rest on it. "
        )
    varying = sorted({kind for part in parts for kind in part.varying})
    if varying:
        text += (
            f"{' and '.join(varying)} layers in it vary the output now: `.eval()` comes first, which changes the "
            "training. "
        )
    if evidence.workload.facts.dataset_draws is None:
        text += "This holds only for data without random augmentation, which could not be checked here. "
    return f"{text}It pays as soon as a sample is seen twice."


_BACKBONE = operators(frozen_parts=(frozen_part(),))
_NO_DRAWS = {"facts": {"dataset_draws": False, "collate_draws": False}}

RULE = Rule(
    id="frozen_part_recomputed",
    title="a frozen part computes the same output every epoch",
    headline="computes the same output of a frozen part in every epoch, which takes {share} of its time",
    looks_at="Modules whose calls passed no gradients on in the traced updates and whose parameters did not change, "
    "their share of the operators' time (on an accelerator: of the FLOPs), random draws of the dataset and before "
    "their call, and the what-if frozen_features.",
    thresholds=("WARNING_SHARE", "LEAST_LEFT", "MIN_GAIN", "CRITICAL_SHARE"),
    source="pytorch#120495; tutorials on transfer learning that keep the features of a frozen network.",
    url="https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html",
    needs_updates=False,
    applies=lambda evidence: bool(_parts(evidence)),
    judge=judge,
    examples=(
        Example(
            name="a frozen backbone under a new head",
            evidence=healthy_cpu(workload=_NO_DRAWS, trace=_BACKBONE, what_ifs=what_if("frozen_features", 7.5)),
            fires=True,
        ),
        Example(
            name="a frozen encoder on an accelerator, with batches made by hand",
            evidence=healthy_cuda(workload={"loaders": ()}, trace=_BACKBONE),
            fires=True,
        ),
        Example(
            name="frozen lower layers of an encoder with dropout",
            evidence=healthy_cpu(
                workload=_NO_DRAWS,
                trace=operators(
                    frozen_parts=tuple(
                        frozen_part(name=f"encoder.layer.{number}", seconds_fraction=0.1, varying=("Dropout",))
                        for number in range(4)
                    )
                ),
            ),
            fires=True,
        ),
        Example(
            name="a dataset that augments at random",
            evidence=healthy_cpu(workload={"facts": {"dataset_draws": True}}, trace=_BACKBONE),
            fires=False,
        ),
        Example(
            name="noise added to the batch in the loop",
            evidence=healthy_cpu(workload=_NO_DRAWS, trace=operators(frozen_parts=(frozen_part(draws_before=True),))),
            fires=False,
        ),
        Example(
            name="a stream of unknown length",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(iterable=True, length_samples=None, length_batches=None),)},
                trace=_BACKBONE,
            ),
            fires=False,
        ),
        Example(
            name="a frozen embedding of 7% of the loop",
            evidence=healthy_cpu(
                workload=_NO_DRAWS, trace=operators(frozen_parts=(frozen_part(name="embed", seconds_fraction=0.07),))
            ),
            fires=False,
        ),
        Example(
            name="without it the loop was no faster",
            evidence=healthy_cpu(
                workload=_NO_DRAWS, trace=_BACKBONE, what_ifs=what_if("frozen_features", 1.0, 0.97, 1.03)
            ),
            fires=False,
        ),
        Example(name="every part is trained", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
