"""Writing checkpoints takes a noticeable part of the loop."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda, line
from ._forced_writes import checkpoint_lines
from ._read import beside_share, line_places, percent, total_share

MIN_CHECKPOINT_SHARE = 0.05
"""Share from which it is reported: the interval is free to choose, and a run must lose more to a crash to make up for
5%."""


def judge(evidence: Evidence) -> Judgement:
    lines = checkpoint_lines(evidence)
    share = max(beside_share(evidence, "checkpoint") or 0.0, total_share(lines))
    if share < MIN_CHECKPOINT_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"Writing checkpoints takes {percent(share)} of the loop's time.",
        advice="Write checkpoints less often (by time, not by updates), write only what resuming needs, or write a "
        "copy from a background thread.",
        where=line_places(lines),
        ceiling=Ceiling.from_share(share),
    )


RULE = Rule(
    id="checkpoint_heavy",
    title="writing checkpoints takes a large part of the loop",
    headline="spends {share} of its time writing checkpoints",
    looks_at="The wall time of `torch.save` and similar calls between updates and at the end of an epoch; the lines "
    "sampled there.",
    thresholds=("MIN_CHECKPOINT_SHARE", "CRITICAL_SHARE"),
    source="Published tools see outlier steps without naming the cause; here checkpoints are a separate phase.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.save.html",
    judge=judge,
    examples=(
        Example(
            name="saved after every update, half of the loop",
            evidence=healthy_cpu(
                off_step={"checkpoint": 0.5}, lines=(line("checkpoint", 0.5, phase="checkpoint", function="save"),)
            ),
            fires=True,
        ),
        Example(
            name="20 s at the end of epochs of 50 s",
            evidence=healthy_cuda(epoch_end={"seconds": {"checkpoint": 20.0}}),
            fires=True,
        ),
        Example(
            name="a checkpoint that is forced to the disk",
            evidence=healthy_cpu(
                lines=(
                    line("checkpoint", 0.2, text="torch.save(state, path)"),
                    line("checkpoint", 0.2, line=57, text="os.fsync(file.fileno())"),
                )
            ),
            fires=True,
        ),
        Example(
            name="a log that is forced to the disk after every line",
            evidence=healthy_cpu(lines=(line("checkpoint", 0.4, text="os.fsync(self.f.fileno())"),)),
            fires=False,
        ),
        Example(name="0.2 s at the end of epochs of 50 s", evidence=healthy_cpu(), fires=False),
        Example(name="2% of the loop", evidence=healthy_cpu(off_step={"checkpoint": 0.02}), fires=False),
    ),
)
