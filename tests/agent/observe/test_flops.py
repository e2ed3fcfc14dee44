"""FLOPs of an update against what can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from advisor.agent.base import modes
from advisor.agent.loop.clock import BACKWARD, FORWARD, StepClock
from advisor.agent.observe.flops import FlopCount


def counted(update: Callable[[], Any], updates: int = 1) -> tuple[dict[str, int] | None, str | None]:
    clock = StepClock()
    count = FlopCount(clock)
    assert count.start()
    for _ in range(updates):
        update()
        clock.end_update()
    return count.stop(), count.why


def test_a_linear_layer_takes_three_products() -> None:
    layer = torch.nn.Linear(16, 8)
    batch = torch.ones(4, 16, requires_grad=True)
    found, _why = counted(lambda: layer(batch).sum().backward())
    assert found is not None
    assert found["flops"] == 3 * 2 * 4 * 16 * 8


def test_bytes_are_operands_and_results_once() -> None:
    left, right = torch.ones(4, 16), torch.ones(16, 8)
    found, _why = counted(lambda: left @ right)
    assert found is not None
    assert found["bytes"] == 4 * (4 * 16 + 16 * 8 + 4 * 8)


def test_updates_are_added() -> None:
    left, right = torch.ones(4, 16), torch.ones(16, 8)
    found, _why = counted(lambda: left @ right, updates=3)
    assert found is not None
    assert found["flops"] == 3 * 2 * 4 * 16 * 8


def test_an_evaluation_within_one_of_them_is_left_out() -> None:
    left, right = torch.ones(4, 16), torch.ones(16, 8)
    sizes = iter([1, 50, 1])
    found, _why = counted(lambda: [left @ right for _ in range(next(sizes))], updates=3)
    assert found is not None
    assert found["flops"] == 3 * 2 * 4 * 16 * 8


def test_a_first_convolution_has_no_gradient_of_its_input() -> None:
    convolution = torch.nn.Conv2d(3, 4, 3, bias=False)
    found, why = counted(lambda: convolution(torch.ones(2, 3, 8, 8)).sum().backward())
    assert why is None
    assert found is not None
    assert found["flops"] == 2 * 2 * 2 * 4 * 36 * 27


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_of_a_sparse_matrix_only_what_is_stored_counts(layout: torch.layout) -> None:
    matrix, right = torch.eye(64), torch.ones(64, 8)
    found, _why = counted(lambda: torch.sparse.mm(matrix.to_sparse(layout=layout), right))
    assert found is not None
    assert found["flops"] == 2 * 64 * 8


def test_attention_on_a_cpu_is_counted() -> None:
    query, key, value = (torch.ones(2, 3, 5, 8, requires_grad=True) for _ in range(3))
    attention = torch.nn.functional.scaled_dot_product_attention
    found, _why = counted(lambda: attention(query, key, value).sum().backward())
    assert found is not None
    assert found["flops"] == 6 * 2 * (2 * 3) * 5 * 5 * 8


def test_convolutions_are_also_counted_alone() -> None:
    convolution, layer = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4 * 36, 2)
    found, _why = counted(lambda: layer(convolution(torch.ones(2, 3, 8, 8)).flatten(1)))
    assert found is not None
    assert found["convolution_flops"] == 2 * 2 * 4 * 36 * 27
    assert found["flops"] == found["convolution_flops"] + 2 * 2 * 144 * 2


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_does_not_count(reentrant: bool) -> None:
    layer = torch.nn.Linear(16, 8, bias=False)
    batch = torch.ones(4, 16, requires_grad=True)
    plain = backward_counted(lambda: layer(batch))
    again = backward_counted(lambda: checkpoint(layer, batch, use_reentrant=reentrant))
    assert again == plain == 3 * 2 * 4 * 16 * 8


def backward_counted(forward: Any) -> int:
    """FLOPs of a forward and its backward, each in its phase."""
    clock = StepClock()
    count = FlopCount(clock)
    assert count.start()
    clock.push(FORWARD)
    loss = forward().sum()
    clock.pop()
    clock.push(BACKWARD)
    loss.backward()
    clock.pop()
    clock.end_update()
    found = count.stop()
    assert found is not None
    return found["flops"]


def test_a_recurrent_layer_is_counted() -> None:
    layer = torch.nn.LSTM(8, 8, bias=False, batch_first=True)
    batch = torch.ones(2, 5, 8)
    found, _why = counted(lambda: layer(batch)[0].sum().backward())
    assert found is not None
    assert found["flops"] == 3 * 2 * (2 * 5) * 2 * (4 * 8 * 8)


def test_inference_mode_is_counted_by_its_parts() -> None:
    layer = torch.nn.Linear(16, 8)
    batch = torch.ones(4, 16)

    def update() -> None:
        with torch.inference_mode():
            layer(batch)

    found, _why = counted(update)
    assert found is not None
    assert found["flops"] == 2 * 4 * 16 * 8


def test_an_update_without_a_product_has_none_and_that_is_told() -> None:
    assert counted(lambda: torch.ones(3).sin()) == ({"flops": 0, "bytes": 0, "convolution_flops": 0}, None)


def test_a_compiled_model_is_refused_with_the_reason() -> None:
    count = FlopCount(StepClock())
    assert not count.start(compiled=True)
    assert count.stop() is None
    assert count.why is not None
    assert "compile" in count.why


def test_compiled_code_anywhere_is_noticed() -> None:
    assert not modes.compiled_code_ran()
    torch.compile(lambda tensor: tensor.cos(), backend="eager")(torch.ones(3))
    assert modes.compiled_code_ran()


def test_compile_counts_before_its_first_run() -> None:
    assert not modes.compile_used()
    torch.compile(lambda tensor: tensor.cos(), backend="eager")
    assert modes.compile_used()


def test_an_optimizer_alone_is_no_use_of_compile() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    torch.optim.Adam([weight]).step()
    assert not modes.compile_used()


def test_a_fault_of_a_formula_never_reaches_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StepClock()
    count = FlopCount(clock)
    count.start()
    broken = dict.fromkeys(count._formulas, lambda *_args, **_kwargs: 1 // 0)
    monkeypatch.setattr(count, "_formulas", broken)
    result = torch.ones(2, 2) @ torch.ones(2, 2)
    clock.end_update()
    assert count.stop() is None
    assert torch.equal(result, torch.full((2, 2), 2.0))
    assert count.why is not None
    assert "ZeroDivisionError" in count.why


def test_an_error_of_the_script_is_the_scripts() -> None:
    count = FlopCount(StepClock())
    count.start()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.ones(2, 3) @ torch.ones(2, 3)
    count.stop()


def test_the_stack_of_modes_is_restored_exactly() -> None:
    before = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    counted(lambda: torch.ones(2, 2) @ torch.ones(2, 2))
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == before


def test_the_flags_for_dynamo_are_not_touched() -> None:
    count = FlopCount(StepClock())
    count.start()
    during = torch.utils._python_dispatch._is_in_torch_dispatch_mode
    count.stop()
    assert not during


def test_a_mode_of_the_user_is_a_reason_to_refuse() -> None:
    class Own(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    with Own():
        count = FlopCount(StepClock())
        assert not count.start()
    assert count.why is not None
    assert "TorchDispatchMode" in count.why


# --- by dtype and by size -------------------------------------------------------------------------------------------


def details(update: Callable[[], Any]) -> dict[str, dict[str, int]]:
    clock = StepClock()
    count = FlopCount(clock)
    assert count.start()
    update()
    clock.end_update()
    count.stop()
    return count.details(1)


def test_products_are_told_by_their_dtype() -> None:
    single, double = torch.ones(4, 16), torch.ones(4, 16, dtype=torch.float64)
    found = details(lambda: (single @ single.T, double @ double.T, double @ double.T))
    assert found["flops_by_dtype"] == {"float32": 2 * 4 * 16 * 4, "float64": 2 * 2 * 4 * 16 * 4}


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "dtype", "odd"),
    [
        (8, 16, 50, torch.bfloat16, {"50": 2 * 8 * 16 * 50}),
        (8, 15, 48, torch.bfloat16, {"15": 2 * 8 * 15 * 48}),
        (8, 16, 48, torch.bfloat16, {}),
        (7, 16, 48, torch.bfloat16, {}),  # samples lie behind each other: their number is no size of a row
        (8, 16, 50, torch.float32, {}),
    ],
)
def test_rows_of_16_bit_products_that_are_no_multiple_of_8_are_told(
    rows: int, inner: int, columns: int, dtype: torch.dtype, odd: dict[str, int]
) -> None:
    batch, weight = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    assert details(lambda: batch @ weight)["odd_flops"] == odd


def test_a_transposed_operand_is_read_along_its_own_rows() -> None:
    batch, weight = torch.ones(8, 16, dtype=torch.bfloat16), torch.ones(50, 16, dtype=torch.bfloat16)
    assert details(lambda: (batch @ weight.T)[:0])["odd_flops"] == {"50": 2 * 8 * 16 * 50}  # the result's rows
    square = torch.ones(48, 8, dtype=torch.bfloat16)
    assert details(lambda: square.T @ torch.ones(48, 16, dtype=torch.bfloat16))["odd_flops"] == {}


def test_updates_that_are_counted_anew_meanwhile_leave_no_count() -> None:
    clock = StepClock()
    clock.updates = 5
    count = FlopCount(clock)
    assert count.start()
    _ = torch.ones(4, 4) @ torch.ones(4, 4)
    clock.updates = 1  # another optimizer has become the main one
    assert count.stop() is None
    assert count.why == "no update ended during counting"
