"""Memory of the process and of an update, against what can be worked out by hand."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from advisor.agent.observe import memory
from advisor.agent.observe.memory import DISABLED, Activations, memory_in_use

FLOAT = 4


def test_resident_memory_grows_with_what_is_touched() -> None:
    before = memory.rss_bytes()
    held = torch.ones(16 * 1024 * 1024)
    assert memory.rss_bytes() - before > 0.9 * held.numel() * FLOAT


def test_the_peak_is_at_least_what_is_resident() -> None:
    held = torch.ones(1024 * 1024)
    assert memory.peak_rss_bytes() >= memory.rss_bytes() - held.numel()


def test_the_peak_can_begin_anew() -> None:
    held = torch.ones(32 * 1024 * 1024)
    size = held.numel() * FLOAT
    high = memory.peak_rss_bytes()
    del held
    if not memory.reset_peak_rss():
        pytest.skip("this kernel does not let a process reset its own peak")
    assert memory.peak_rss_bytes() < high - size // 2


def test_without_proc_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_args: Any) -> Any:
        raise FileNotFoundError("/proc/self/statm")

    monkeypatch.setattr(memory, "open", absent, raising=False)
    assert memory.rss_bytes() > 1024 * 1024


def trained(width: int = 64) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(width, width, bias=False)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, width)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_parameters_gradients_and_optimizer_are_told_apart() -> None:
    model, optimizer = trained()
    size = 64 * 64 * FLOAT
    assert memory_in_use([model], [optimizer]) == {
        "parameters_bytes": size,
        "gradients_bytes": size,
        "optimizer_bytes": 2 * size + FLOAT,  # two moments and a count of steps
    }


def test_tied_weights_count_once() -> None:
    first, second = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    assert memory_in_use([first, second], [])["parameters_bytes"] == 8 * 8 * FLOAT


def test_views_of_one_flat_buffer_count_its_storage_once() -> None:
    flat = torch.zeros(100)
    model = torch.nn.Module()
    model.first = torch.nn.Parameter(flat[:50])
    model.second = torch.nn.Parameter(flat[50:])
    assert memory_in_use([model], [])["parameters_bytes"] == 100 * FLOAT


def test_without_a_module_the_optimizers_parameters_are_known() -> None:
    weight = torch.nn.Parameter(torch.ones(10))
    assert memory_in_use([], [torch.optim.SGD([weight], lr=0.1)])["parameters_bytes"] == 10 * FLOAT


def test_optimizers_may_come_with_their_records() -> None:
    _model, optimizer = trained()
    assert memory_in_use([], [(optimizer, object(), True)])["parameters_bytes"] == 64 * 64 * FLOAT


def kept_by(forward: Any) -> int | None:
    activations = Activations()
    assert activations.start()
    forward().sum().backward()
    return activations.stop()


def test_activations_are_what_backward_needs_and_no_parameters() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    batch = torch.ones(32, 64)
    # The batch, and the output of the ReLU, which ReLU and the second layer both keep.
    assert kept_by(lambda: model(batch)) == 2 * 32 * 64 * FLOAT


def test_with_accumulation_the_largest_micro_step_counts() -> None:
    model = torch.nn.Linear(64, 64)
    activations = Activations()
    activations.start()
    for size in (4, 32, 4):
        model(torch.ones(size, 64)).sum().backward()
    assert activations.stop() == 32 * 64 * FLOAT


def test_a_checkpointed_block_keeps_less() -> None:
    torch.manual_seed(0)
    block = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh()) for _ in range(6)])
    batch = torch.ones(32, 64, requires_grad=True)
    whole = kept_by(lambda: block(batch))
    less = kept_by(lambda: checkpoint(block, batch, use_reentrant=False))
    assert whole is not None
    assert (less or 0) < whole / 2


def test_gradients_are_the_same_bit_for_bit() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1))
    batch = torch.randn(8, 16)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(batch).exp().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    plain = gradients()
    activations = Activations()
    activations.start()
    watched = gradients()
    activations.stop()
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_double_backward_works_under_it() -> None:
    activations = Activations()
    activations.start()
    x = torch.tensor(2.0, requires_grad=True)
    (first,) = torch.autograd.grad(x**3, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    activations.stop()
    assert second.item() == 12.0


def test_no_graph_is_kept_alive() -> None:
    activations = Activations()
    activations.start()
    output = torch.ones(4, requires_grad=True).exp()  # keeps its own output
    node = output.grad_fn
    del output
    activations.stop()
    alive = sum(type(item) is memory._Kept for item in gc.get_objects())
    del node
    after = sum(type(item) is memory._Kept for item in gc.get_objects())
    assert (alive, after) == (1, 0)


def test_hooks_of_the_user_are_a_reason_to_refuse() -> None:
    activations = Activations()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        assert not activations.start()
    assert activations.stop() is None
    assert activations.why is not None
    assert "hooks" in activations.why


def test_a_compiled_model_is_refused() -> None:
    assert not Activations().start(compiled=True)


def test_gradients_by_torch_func_are_left_alone() -> None:
    """They refuse hooks on saved tensors, whoever set them."""
    original = torch._C._autograd._saved_tensors_hooks_disable
    watched = Activations()
    assert watched.start()
    x = torch.ones(3)
    gradient = torch.func.grad(lambda value: (value**2).sum())(x)
    assert torch.equal(gradient, 2 * x)
    assert watched.stop() is None
    assert watched.why == DISABLED
    assert torch._C._autograd._saved_tensors_hooks_disable is original


def test_hooks_are_restored_exactly() -> None:
    top = torch._C._autograd._top_saved_tensors_default_hooks
    activations = Activations()
    activations.start()
    activations.stop()
    assert top(True) is None


def test_a_scope_of_the_user_that_outlives_ours_stays_open() -> None:
    top = torch._C._autograd._top_saved_tensors_default_hooks
    activations = Activations()
    scope = torch.autograd.graph.saved_tensors_hooks(_same, _same)
    activations.start()
    with scope:
        activations.stop()
        assert top(True) == (_same, _same)
    assert top(True) is None


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def test_a_windows_peak_is_its_own_and_the_largest_is_kept() -> None:
    peak = memory.HostPeak()
    peak.begin()
    size = 64 * 2**20
    large = torch.ones(size // 4)
    first = peak.take()
    del large
    memory.give_back()
    peak.begin()
    second = peak.take()
    if first is None or second is None:
        pytest.skip("the system keeps one peak for the whole process")
    assert second < first - size // 2
    assert peak.largest() >= first
