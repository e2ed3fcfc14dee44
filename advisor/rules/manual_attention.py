"""Attention is written out as products and a softmax, whose score matrices go through memory several times."""

from __future__ import annotations

from ..types import AttentionUse, Ceiling, Evidence, Place, Rate
from ._base import Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import gpu, healthy_cpu, healthy_cuda
from ._operator_examples import attention, operators
from ._read import MAX_PLACES, percent, phase_share, size, traced_operators

MIN_TOKENS = 64
"""Queries and keys below which a score matrix stays in the caches."""
SAVES = 0.5
"""Part of the time in operators on the scores that the fused kernel saves; the products themselves stay. Measured on a
CPU, forward and backward of 32 causal heads: 0.54 at 64 tokens, 0.69 to 0.83 at 256 and 512; with dropout on the
weights, for which a CPU has no fused kernel, 0.21."""
SAVES_MOST = 0.85
"""Upper bound of that part."""
MIN_SAVED = 0.05
"""Estimated saving below which it is not reported."""


def judge(evidence: Evidence) -> Judgement:
    sites = [site for site in _sites(evidence) if _could_be_fused(evidence, site)]
    share = clamp(sum(_share(evidence, site) for site in sites))
    saved = share * SAVES
    if saved < MIN_SAVED:
        return None
    first = max(sites, key=lambda site: _share(evidence, site))
    return Hit(
        share=share,
        severity=severity_of(saved),
        evidence=f"Attention is written out in operators: {percent(share)} of the loop works on score matrices of "
        f"{first.rows:,} by {first.columns:,}, {size(first.score_bytes)} a call, which are read and written several "
        "times and kept for the backward.",
        advice=_advice(first),
        where=tuple(
            Place(file=each.file, line=each.line, function=each.function, library=each.library)
            for each in sorted(sites, key=lambda site: -_share(evidence, site))[:MAX_PLACES]
        ),
        ceiling=Ceiling.from_share(saved, high=share * SAVES_MOST),
        library=first.library,
    )


def _sites(evidence: Evidence) -> tuple[AttentionUse, ...]:
    used = traced_operators(evidence)
    return used.attention if used is not None else ()


def _could_be_fused(evidence: Evidence, site: AttentionUse) -> bool:
    """Return whether the fused kernel can take its place: it returns no weights, and on a CPU it drops none."""
    if min(site.rows, site.columns) < MIN_TOKENS or (site.dropout and not evidence.on_accelerator):
        return False
    return not site.weights_used


def _share(evidence: Evidence, site: AttentionUse) -> float:
    """Return its share of the loop: by the operators' time, on an accelerator by the bytes that they move at least."""
    in_update = phase_share(evidence, "forward", "backward", "optimizer")
    used = traced_operators(evidence)
    if not evidence.on_accelerator:
        return clamp(site.seconds_per_update / used.seconds) * in_update if used is not None and used.seconds else 0.0
    found = evidence.hardware.accelerators
    bandwidth = found[0].memory_bandwidth if found else None
    if bandwidth is None or evidence.steps.mean_s <= 0:
        return 0.0
    return clamp(site.bytes_per_update / bandwidth.value / evidence.steps.mean_s) * in_update


def _advice(site: AttentionUse) -> str:
    if site.asked_for_weights:
        return (
            "Call the `nn.MultiheadAttention` with `need_weights=False`, as its weights are not read: it then uses "
            "`scaled_dot_product_attention`."
        )
    if site.library == "transformers":
        return 'Load the model with `attn_implementation="sdpa"`; its attention is then one fused call.'
    call = "`torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=…, attn_mask=…, dropout_p=…)`"
    where = f"See whether {site.library} can use {call}" if site.library else f"Replace it by {call}"
    return f"{where}, with q, k and v of [batch, heads, tokens, width]; it scales by 1/√width and keeps no scores."


_SITE = operators(attention=(attention(),))
_GPU = gpu(memory_bandwidth=Rate(value=3.35e12, basis="table", source="data sheet"))

RULE = Rule(
    id="manual_attention",
    title="attention without the fused kernel",
    headline="spends {share} of its time on attention scores, which a fused kernel never writes to memory",
    library_headline="spends {share} of its time on attention scores in {library}, which a fused kernel never writes "
    "to memory",
    looks_at="Traced operators: a batched product, a softmax over its rows and a product with the result, the time (on "
    "an accelerator: the bytes) of all operators on tensors of the scores' size, dropout on the weights, and whether "
    "anything else reads the weights.",
    thresholds=("MIN_TOKENS", "SAVES", "SAVES_MOST", "MIN_SAVED", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="PyTorch's documentation of scaled_dot_product_attention; gpuprof flags softmax beside bmm.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html",
    needs_updates=False,
    applies=lambda evidence: bool(_sites(evidence)),
    judge=judge,
    examples=(
        Example(name="a GPT whose attention is written out", evidence=healthy_cpu(trace=_SITE), fires=True),
        Example(
            name="the same on an accelerator, with dropout on the weights",
            evidence=healthy_cuda(
                trace=operators(attention=(attention(dropout=True, bytes_per_update=10**11),)),
                hardware={"accelerators": (_GPU,)},
            ),
            fires=True,
        ),
        Example(
            name="MultiheadAttention that also returns its weights, which nobody reads",
            evidence=healthy_cpu(trace=operators(attention=(attention(asked_for_weights=True),))),
            fires=True,
        ),
        Example(
            name="attention weights that a loss or a plot reads",
            evidence=healthy_cpu(trace=operators(attention=(attention(weights_used=True),))),
            fires=False,
        ),
        Example(
            name="dropout on the weights on a CPU, where no fused kernel takes it",
            evidence=healthy_cpu(trace=operators(attention=(attention(dropout=True),))),
            fires=False,
        ),
        Example(
            name="windows of 49 patches",
            evidence=healthy_cpu(trace=operators(attention=(attention(rows=49, columns=49),))),
            fires=False,
        ),
        Example(
            name="scores that take 9% of the loop",
            evidence=healthy_cpu(trace=operators(attention=(attention(seconds_per_update=0.0085),))),
            fires=False,
        ),
        Example(name="no attention, or the fused one", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
