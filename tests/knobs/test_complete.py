"""Every knob says all that others need to know of it: emitters, the fallback, reports, plain torch."""

from __future__ import annotations

import gc

import pytest
import torch

from advisor import knobs, rules
from advisor.agent.real_run import by_hand
from advisor.knobs import Knob
from advisor.settings_file import exports
from advisor.settings_file.advisor_yaml import Document
from advisor.types import Config

REASONS = {"cpus", "host memory", "device", "transfers", "torch"}
ALL = knobs.all_knobs()


@pytest.mark.parametrize("knob", ALL, ids=lambda knob: knob.id)
def test_a_knob_describes_itself(knob: Knob) -> None:
    value = knob.example
    assert knob.wrong(value) is None
    assert knob.title
    assert knob.changes.endswith(".")
    described = knob.described_by_hand(value)
    assert described
    assert "{" not in described
    assert set(knob.chosen_for) <= REASONS
    assert knob.fails_in in ("", "batch", "forward")
    assert (knob.suspicion > 0) == (knob.fails_in == "forward")
    assert knob.changes in knobs.explain(knob)


@pytest.mark.parametrize("knob", ALL, ids=lambda knob: knob.id)
def test_what_a_knob_names_is_there(knob: Knob) -> None:
    assert set(knob.formats) <= {emitter.id for emitter in exports.all_emitters()}
    assert {*knob.grows_with, *filter(None, [knob.needs])} <= {other.id for other in ALL} - {knob.id}
    assert set(knob.opened_by) <= {rule.id for rule in rules.all_rules()}
    assert knob.samples_per in ("", "backward", "update")
    assert bool(knob.set_up) == (knob.set_up_s > 0)


def test_the_samples_of_a_backward_and_of_an_update_are_set_by_one_knob_each() -> None:
    assert sorted(knob.samples_per for knob in ALL if knob.samples_per) == ["backward", "update"]


def test_no_two_are_as_likely_to_be_at_fault() -> None:
    ranks = [knob.suspicion for knob in ALL if knob.suspicion]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))


@pytest.mark.parametrize("emitter", exports.all_emitters(), ids=lambda emitter: emitter.id)
@pytest.mark.parametrize("knob", ALL, ids=lambda knob: knob.id)
def test_every_format_expresses_a_setting_or_lists_it(knob: Knob, emitter: exports.Emitter) -> None:
    value = knob.example
    (empty,) = exports.artifacts(Document(config=Config()), [emitter.id])
    (made,) = exports.artifacts(Document(config=Config.of({knob.id: value})), [emitter.id])
    listed = [item.what for item in made.not_expressed]
    assert f"{knob.id}={value}" in listed or made.to_fill or made.content != empty.content


@pytest.mark.parametrize("knob", ALL, ids=lambda knob: knob.id)
def test_plain_torch_ignores_no_setting_silently(knob: Knob, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not applied to these objects is for the loader or for autocast, or is reported with what to do."""
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # loads all of dynamo into this process
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    products, matmul = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul
    on_cpu = matmul.fp32_precision
    model = torch.nn.Linear(2, 2)
    try:
        _, left = by_hand.apply({knob.id: knob.example}, model, torch.optim.AdamW(model.parameters()))
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_float32_matmul_precision(products)
        matmul.fp32_precision = on_cpu
        torch.set_flush_denormal(False)
        gc.unfreeze()
    assert knob.id in left or knob.plain is not None or knob.loader_keyword or knob.samples_per
    assert knob.id not in left or left[knob.id]
