"""autocast_dtype: a script's own autocast in another dtype, and as it was afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs, rules
from advisor.rules._examples import evolve, gpu, healthy_cpu, healthy_cuda
from advisor.types import Evidence

KNOB = knobs.get("autocast_dtype")
OWN_AUTOCAST = """
from torch.amp import autocast_mode

dtypes = []

class Cast(Net):
    def forward(self, images):
        with torch.autocast("cpu", dtype=torch.float16) as context:
            found = super().forward(images)
            with torch.autocast("cpu", enabled=False):
                off = self.head(torch.ones(1, 8 * 36))
        dtypes.append((str(found.dtype), str(off.dtype), context._enabled, str(context.fast_dtype)))
        return found.float()
"""


def values(evidence: Evidence, own: str | None, **changes: Any) -> Any:
    found = evolve(evidence, {"workload": {"flags": {"autocast_dtype": own, "grad_scaler": False}}, **changes})
    return KNOB.values(found.hardware, found.workload)


def cpu(*instructions: str) -> dict[str, Any]:
    return {"cpu": {"instruction_sets": instructions}}


def test_on_a_cpu_it_leaves_float16_and_emulated_bfloat16() -> None:
    assert values(healthy_cpu(), "float16", hardware=cpu("amx_bf16")).values == ("bf16", "fp32")
    assert values(healthy_cpu(), "float16", hardware=cpu("avx2")).values == ("fp32",)
    assert values(healthy_cpu(), "bfloat16", hardware=cpu("avx2")).values == ("fp32",)
    assert "not known to be slow" in values(healthy_cpu(), "bfloat16", hardware=cpu("amx_bf16")).why_closed
    assert "no autocast" in values(healthy_cpu(), None, hardware=cpu("amx_bf16")).why_closed


def test_on_cuda_it_leaves_bfloat16_where_that_is_emulated() -> None:
    turing = {"accelerators": (gpu(name="Tesla T4", compute_capability=(7, 5)),)}
    assert values(healthy_cuda(), "bfloat16", hardware=turing).values == ("fp32",)
    scaled = evolve(
        healthy_cuda(),
        {"hardware": turing, "workload": {"flags": {"autocast_dtype": "bfloat16", "grad_scaler": True}}},
    )
    assert KNOB.values(scaled.hardware, scaled.workload).values == ("fp16", "fp32")
    assert "not known to be slow" in values(healthy_cuda(), "float16").why_closed


def test_the_finding_on_slow_dtypes_opens_it() -> None:
    assert "autocast_dtype" in rules.get("slow_dtype").helpful_knobs


@pytest.mark.slow
@pytest.mark.parametrize(("value", "dtype"), [("bf16", "torch.bfloat16"), ("fp32", "torch.float32")])
def test_contexts_are_entered_with_it_and_look_as_the_script_made_them(tmp_path: Path, value: str, dtype: str) -> None:
    code = f"""
    wanted = train(make_model=Cast)
    own = dtypes[0]
    assert set(dtypes) == {{own}}, set(dtypes)
    dtypes.clear()
    before = autocast_mode.autocast.__enter__
    hook()
    switched = train({{3: {{"autocast_dtype": {value!r}}}, 9: {{}}}}, make_model=Cast)
    assert dtypes[:3] == [own] * 3, dtypes[:3]
    assert dtypes[9:] == [own] * len(dtypes[9:]), dtypes[9:]
    assert set(dtypes[3:9]) == {{({dtype!r}, *own[1:])}}, dtypes[3:9]
    close = torch.allclose(torch.tensor(switched.losses), torch.tensor(wanted.losses), rtol=0.1)
    print(own[0], close, autocast_mode.autocast.__enter__ is before)
    """
    assert says(tmp_path, OWN_AUTOCAST, code) == "torch.float16 True True"


@pytest.mark.slow
def test_who_has_put_something_over_ours_keeps_it_and_nothing_of_ours(tmp_path: Path) -> None:
    code = """
    from functools import wraps
    hook()
    model = Cast()
    controls.set_config({"autocast_dtype": "fp32"})
    ours = autocast_mode.autocast.__enter__
    @wraps(ours)
    def theirs(context):
        return ours(context)
    autocast_mode.autocast.__enter__ = theirs
    model(images().dataset[0][0][None])
    controls.set_config({})
    model(images().dataset[0][0][None])
    print(autocast_mode.autocast.__enter__ is theirs, [dtype for dtype, *_rest in dtypes])
    """
    assert says(tmp_path, OWN_AUTOCAST, code) == "True ['torch.float32', 'torch.float16']"
