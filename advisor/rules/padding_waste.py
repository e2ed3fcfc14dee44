"""Much of what the model computes is padding."""

from __future__ import annotations

from ..types import Ceiling, Evidence, Padding
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda, model
from ._read import compute_share, layer_count, main_models, overhead_fraction, percent

LEAST_PADDING = 0.3
"""Share of padding from which it counts: batches of sentences padded to their longest one have 20 to 40%, and sorting
them by length costs some of the order's randomness."""
LEAST_BEYOND = 0.1
"""Share of the tokens beyond the longest sequence of each batch, from which batches are padded to a fixed length.
Padding to the longest changes nothing else, so it is advised first."""
MOSTLY_PADDING = 0.5
"""Share of padding from which it is worth a warning although each batch is padded to its longest sequence only."""
LEAST_LIKELY = 0.5
"""Part of the estimated share that vanishes at the low end: operators of short batches use the machine less well."""
RECURRENT = ("LSTM", "GRU", "RNN")
"""Layers that skip padding if their batches are packed, which cannot be seen in the arguments."""
GROUPED_SINCE = 5
"""Major version of transformers in which the option for grouping by length has its new name."""


def judge(evidence: Evidence) -> Judgement:
    padding = evidence.workload.padding
    if padding is None or padding.fraction < LEAST_PADDING:
        return None
    fixed = padding.beyond_longest >= LEAST_BEYOND
    computed = compute_share(evidence) * (1 - (overhead_fraction(evidence) or 0.0))
    share = clamp(computed * padding.fraction)
    expected = clamp(computed * padding.beyond_longest) if fixed else share
    if expected < WARNING_SHARE:
        return None
    known = fixed or padding.fraction >= MOSTLY_PADDING
    recurrent = layer_count(main_models(evidence), RECURRENT) > 0
    return Hit(
        share=share,
        severity=severity_of(expected) if known and not recurrent else "info",
        evidence=_evidence(padding, fixed),
        advice=_advice(evidence, fixed) + (" Or pack them (`pack_padded_sequence`)." if recurrent else ""),
        ceiling=Ceiling.from_share(
            expected, low=LEAST_LIKELY * expected, high=compute_share(evidence) * padding.fraction
        ),
    )


def _evidence(padding: Padding, fixed: bool) -> str:
    place = (
        f"the model's argument {int(padding.argument) + 1}" if padding.argument.isdigit() else f"`{padding.argument}`"
    )
    shown = f"by the mask in {place}" if padding.source == "mask" else f"one token fills the ends of rows in {place}"
    said = f"{percent(padding.fraction)} of the tokens in {padding.batches} batches are padding ({shown})"
    if fixed:
        return (
            f"{said}; {percent(padding.beyond_longest)} lie beyond the longest sequence of their batch: every batch is "
            f"padded to {padding.length}."
        )
    return f"{said}, although batches are padded to their longest sequence only: long and short ones come together."


def _advice(evidence: Evidence, fixed: bool) -> str:
    group = _grouping(evidence)
    if not fixed:
        return f"{group}, or pack several short sequences into a row."
    if evidence.workload.framework == "transformers":
        collator = "tokenize without `padding`, and let `DataCollatorWithPadding(tokenizer)` pad each batch"
    else:
        collator = f"leave samples at their own length, and pad in {_collate(evidence)} (`pad_sequence`)"
    return f"Pad each batch only to its longest sequence: {collator}. {group}: then there is little padding left."


def _collate(evidence: Evidence) -> str:
    """Return the name of the script's own collate function, or words for one to be written."""
    loader = evidence.workload.train_loader
    if loader is None or loader.collate.startswith(("torch.", "transformers.")):
        return "a collate function"
    return f"`{loader.collate.removeprefix('__main__.')}`, which makes the batches"


def _grouping(evidence: Evidence) -> str:
    if evidence.workload.framework != "transformers":
        return "Put sequences of like length into a batch (a batch sampler that sorts shuffled chunks by length)"
    version = evidence.workload.facts.packages.get("transformers", "").partition(".")[0]
    new = version.isdigit() and int(version) >= GROUPED_SINCE
    option = "train_sampling_strategy='group_by_length'" if new else "group_by_length=True"
    return f"Put sequences of like length into a batch (`TrainingArguments({option})`)"


_FIXED = Padding(fraction=0.8, beyond_longest=0.7, batches=12, length=256, source="mask", argument="attention_mask")
_LONGEST = Padding(fraction=0.55, beyond_longest=0.0, batches=12, length=256, source="tokens", argument="0")

RULE = Rule(
    id="padding_waste",
    title="much of what the model computes is padding",
    headline="computes padding for {share} of its time",
    looks_at="Masks among the model's arguments, or a token that fills the ends of rows and stands nowhere else, in up "
    "to 16 batches; the share of forward and backward, less the time for calling operators, which padding leaves.",
    thresholds=(
        "LEAST_PADDING",
        "LEAST_BEYOND",
        "MOSTLY_PADDING",
        "LEAST_LIKELY",
        "GROUPED_SINCE",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="transformers#4842 (4.7 times as fast with batches padded to their longest sequence, sorted by length).",
    url="https://huggingface.co/docs/transformers/pad_truncation",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="sentences of 40 tokens padded to 256",
            evidence=healthy_cpu(workload={"padding": _FIXED}),
            fires=True,
        ),
        Example(
            name="the Trainer on an accelerator, batches of short and long texts",
            evidence=healthy_cuda(
                workload={
                    "padding": _LONGEST,
                    "framework": "transformers",
                    "facts": {"packages": {"transformers": "5.2"}},
                }
            ),
            fires=True,
        ),
        Example(
            name="a recurrent model, which may pack its batches",
            evidence=healthy_cpu(workload={"padding": _FIXED, "models": (model(layers={"LSTM": 1, "Linear": 1}),)}),
            fires=True,
        ),
        Example(
            name="29% padding",
            evidence=healthy_cpu(
                workload={
                    "padding": Padding(
                        fraction=0.29, beyond_longest=0.2, batches=12, length=64, source="mask", argument="mask"
                    )
                }
            ),
            fires=False,
        ),
        Example(
            name="padding in a model that takes 5% of the loop",
            evidence=healthy_cpu(workload={"padding": _FIXED}, phases={"data_wait": 0.95}),
            fires=False,
        ),
        Example(name="no padding seen", evidence=healthy_cpu(), fires=False),
    ),
)
