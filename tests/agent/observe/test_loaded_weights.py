"""Models of libraries with random weights, and those that weights were loaded into."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from advisor.agent.base.patches import Patches
from advisor.agent.observe.loaded_weights import LoadedWeights

HOME = "torchvision.models.small"
PARAMETERS = 9 * 8 + 9  # of Small with nine outputs


class Weights:
    def __init__(self, parameters: int) -> None:
        self.meta = {"num_params": parameters, "categories": [""] * 9}


class Small_Net_Weights(enum.Enum):  # noqa: N801
    DEFAULT = Weights(PARAMETERS)


class Smaller_Net_Weights(enum.Enum):  # noqa: N801
    DEFAULT = Weights(PARAMETERS - 60)


class Small(nn.Module):
    """As torchvision's models are: in one of its modules, with its weights beside it."""

    def __init__(self, outputs: int = 9, inputs: int = 8) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, outputs)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadedWeights]:
    home = types.ModuleType(HOME)
    vars(home).update({"Small_Net_Weights": Small_Net_Weights, "Smaller_Net_Weights": Smaller_Net_Weights})
    monkeypatch.setitem(sys.modules, HOME, home)
    monkeypatch.setattr(Small, "__module__", HOME)
    found, patches = LoadedWeights(), Patches()
    patches.replace(nn.Module, "load_state_dict", found.noting)
    yield found
    patches.restore()


def calls(found: list[dict[str, Any]]) -> list[str]:
    return [one["call"] for one in found]


CALL = 'torchvision.models.small_net(weights="DEFAULT")'


def test_a_model_of_a_published_size_is_told_with_the_call(record: LoadedWeights) -> None:
    assert record.missing([Small()]) == [{"class_name": "Small", "parameters": PARAMETERS, "call": CALL}]
    assert calls(record.missing([Small(outputs=2)])) == [CALL]  # other classes, and nearer to the smaller one's size
    assert record.missing([Small(inputs=12)]) == []
    assert record.missing([nn.Linear(8, 9)]) == []


def test_a_model_inside_one_of_the_scripts_own_is_found(record: LoadedWeights) -> None:
    assert calls(record.missing([nn.Sequential(nn.Sequential(Small()), nn.Linear(9, 2))])) == [CALL]
    assert calls(record.missing([nn.DataParallel(Small())])) == [CALL]


@pytest.mark.parametrize("place", ["whole", "around", "inside"])
def test_weights_that_were_loaded_are_seen_wherever_they_came_in(record: LoadedWeights, place: str) -> None:
    model = Small()
    around = nn.Sequential(model)
    target = {"whole": model, "around": around, "inside": model.head}[place]
    target.load_state_dict(target.state_dict())
    assert record.missing([around]) == []
    assert calls(record.missing([Small()])) == [CALL]


def test_loading_reports_what_it_always_reports(record: LoadedWeights) -> None:
    found = Small().load_state_dict({"head.weight": torch.zeros(9, 8)}, strict=False)
    assert found.missing_keys == ["head.bias"]


@pytest.mark.frameworks
def test_transformers_of_the_usual_size_and_of_another(record: LoadedWeights) -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        usual = transformers.BertForSequenceClassification(transformers.BertConfig())
        small = transformers.BertForSequenceClassification(transformers.BertConfig(num_hidden_layers=2))
    assert calls(record.missing([usual])) == ["BertForSequenceClassification.from_pretrained(...)"]
    assert record.missing([small]) == []
    usual.config._name_or_path = "bert-base-uncased"
    assert record.missing([usual]) == []
