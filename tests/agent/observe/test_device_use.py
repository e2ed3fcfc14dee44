"""Figures of the device's own clock, from spans made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.agent.observe.device_use import Read, Span, Timeline, device_use, union, uses_tensor_cores
from advisor.types import DeviceGap, DeviceUse

US = 1_000
ITEM = ("train.py", 12, "main")
FORWARD = ("model.py", 7, "forward")


class Script:
    """Updates of 1 ms on the CPU: data 200 µs, forward, backward, then a wait; each launches one kernel at 200 µs."""

    def __init__(self, updates: int = 4) -> None:
        self.timeline = Timeline(device=[], calls=[], ends_ns=[])
        for number in range(updates):
            begin = number * 1000 * US
            self.timeline.phases += [
                (begin, "data_wait"),
                (begin + 200 * US, "forward"),
                (begin + 500 * US, "backward"),
                (begin + 800 * US, "other"),
            ]
            self.timeline.ends_ns.append(begin + 1000 * US)

    def kernel(self, at_us: float, length_us: float, name: str = "kernel", **given: Any) -> Script:
        """Run one kernel in every update, launched 10 µs before."""
        for number in range(len(self.timeline.ends_ns)):
            begin = round((number * 1000 + at_us) * US)
            correlation = len(self.timeline.calls) + 1
            self.timeline.calls.append(
                Span("cudaLaunchKernel", "call", begin - 10 * US, begin - 7 * US, correlation=correlation)
            )
            kind = given.get("kind", "kernel")
            self.timeline.device.append(
                Span(name, kind, begin, begin + round(length_us * US), given.get("bytes", 0), given.get("pinned"), 7,
                     correlation)
            )  # fmt: skip
        return self

    def read(self, begin_us: float, end_us: float, what: str = "item") -> Script:
        for number in range(len(self.timeline.ends_ns)):
            begin, end = (round((number * 1000 + at) * US) for at in (begin_us, end_us))
            self.timeline.reads.append(Read(begin, end, what, ITEM))
            self.timeline.calls.append(Span("cudaStreamSynchronize", "sync", begin + US, end - US))
        return self

    def use(self) -> DeviceUse:
        found = device_use(self.timeline)
        found["gaps"] = tuple(DeviceGap(**gap) for gap in found["gaps"])
        return DeviceUse(**{**found, "syncs": tuple(found["syncs"]), "update_s": found["traced_update_s"]})


def test_busy_time_is_the_union_of_what_overlaps() -> None:
    use = Script().kernel(300, 400).kernel(500, 300).use()
    assert use.busy_s == pytest.approx(500e-6)
    assert use.traced_update_s == pytest.approx(1e-3)
    assert use.busy_fraction == pytest.approx(0.5)
    assert (use.updates, use.kernels_per_update, use.kernel_median_s) == (3, 2.0, pytest.approx(350e-6))


def test_idle_time_belongs_to_the_phase_that_the_cpu_is_in() -> None:
    use = Script().kernel(300, 500).use()
    # From 800 µs on the device idles: 200 µs of other code, 200 µs of data, 100 µs of the next forward.
    assert use.idle_s == pytest.approx({"other": 200e-6, "data_wait": 200e-6, "forward": 100e-6})
    assert use.idle_fraction("forward", "backward", "optimizer") == pytest.approx(0.1)


def test_work_of_an_update_counts_where_it_was_launched_however_late_it_runs() -> None:
    """Kernels of 1.5 ms in updates of 1 ms on the CPU queue up: the device never idles, and the last one runs late."""
    script = Script(updates=6).kernel(300, 1500)
    script.timeline.device = [
        span._replace(begin_ns=(300 + 1500 * number) * US, end_ns=(1800 + 1500 * number) * US)
        for number, span in enumerate(script.timeline.device)
    ]
    use = script.use()
    assert (use.updates, use.kernels_per_update) == (5, 1.0)
    assert use.busy_s == pytest.approx(1.5e-3)
    assert use.traced_update_s == pytest.approx(1.5e-3)
    assert use.idle_s == {}


def test_the_idle_time_while_advisor_works_is_nobodys() -> None:
    script = Script().kernel(300, 600)
    for number in range(4):
        script.timeline.phases.append((number * 1000 * US + 950 * US, "advisor"))
    script.timeline.phases.sort()
    use = script.use()
    assert "advisor" not in use.idle_s
    assert use.traced_update_s == pytest.approx(950e-6)
    assert use.busy_s == pytest.approx(600e-6)


def test_a_gap_names_the_line_that_was_sampled_in_it() -> None:
    script = Script().kernel(300, 500)
    script.timeline.samples = [(number * 1000 * US + 150 * US, FORWARD) for number in range(4)]
    (gap,) = script.use().gaps
    assert (gap.file, gap.line, gap.function) == FORWARD
    assert gap.seconds_per_update == pytest.approx(500e-6)
    assert (gap.gaps_per_update, gap.longest_s) == (1.0, pytest.approx(500e-6))


def test_a_wait_counts_for_its_line_and_costs_only_the_idle_time_after_it() -> None:
    use = Script().kernel(300, 500).read(600, 810).use()
    (sync,) = use.syncs
    site: Any = sync
    assert (site["what"], site["file"], site["line"]) == ("item", *ITEM[:2])
    assert (site["calls_per_update"], site["seconds_per_update"]) == (1.0, pytest.approx(208e-6))
    assert use.idle_after_reads_s == pytest.approx(500e-6)


def test_a_wait_that_returns_while_the_device_works_costs_nothing() -> None:
    use = Script().kernel(300, 100).kernel(420, 570).read(350, 405).use()
    assert use.idle_after_reads_s == pytest.approx(20e-6)
    assert Script().kernel(300, 600).read(350, 500).use().idle_after_reads_s == 0.0


def test_a_copy_to_the_device_is_no_read() -> None:
    use = Script().kernel(300, 500).read(600, 810, what="to").use()
    assert use.idle_after_reads_s == 0.0


def test_bytes_are_split_by_their_way_and_their_memory() -> None:
    script = Script().kernel(300, 500)
    script.kernel(100, 50, "Memcpy HtoD (Pageable -> Device)", kind="copy", bytes=1000, pinned=False)
    script.kernel(160, 30, "Memcpy HtoD (Pinned -> Device)", kind="copy", bytes=300, pinned=True)
    script.kernel(900, 10, "Memcpy DtoH (Device -> Pageable)", kind="copy", bytes=4, pinned=False)
    use = script.use()
    assert (use.to_device_bytes, use.to_device_pageable_bytes) == (1300, 1000)
    assert (use.to_host_bytes, use.to_host_pageable_bytes) == (4, 4)
    assert use.copy_s == pytest.approx(90e-6)
    assert use.kernels_per_update == 1.0


def test_time_in_tensor_cores_and_in_nccl() -> None:
    script = Script().kernel(300, 100, "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n").kernel(450, 50, "vectorized_add")
    script.kernel(550, 80, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", kind="nccl")
    use = script.use()
    assert use.tensor_core_s == pytest.approx(100e-6)
    assert use.nccl_s == pytest.approx(80e-6)
    assert use.nccl_exposed_s == pytest.approx(80e-6)


def test_a_collective_is_exposed_only_where_nothing_else_runs() -> None:
    script = Script().kernel(300, 100).kernel(350, 120, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", kind="nccl")
    use = script.kernel(440, 100).use()
    assert use.nccl_s == pytest.approx(120e-6)
    assert use.nccl_exposed_s == pytest.approx(40e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn", True),
        ("sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nhwc", True),
        ("void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x256_16x3_nn_align4>", True),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_TNT", True),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4>>", True),
        ("ampere_sgemm_128x64_tn", False),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize32x32x8_stage3_warpsize1x2x1_ffma_aligna4", False),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>", False),
        ("triton_poi_fused_add_relu_0", False),
    ],
)
def test_names_of_kernels_on_tensor_cores(name: str, expected: bool) -> None:
    assert uses_tensor_cores(name) is expected


def test_updates_without_work_on_the_device_have_no_figures() -> None:
    with pytest.raises(ValueError, match="ran nothing on the device"):
        device_use(Script().timeline)


def test_spans_of_several_streams_are_merged() -> None:
    assert union([(5, 9), (0, 3), (2, 4), (9, 12), (20, 21)]) == [(0, 4), (5, 12), (20, 21)]
