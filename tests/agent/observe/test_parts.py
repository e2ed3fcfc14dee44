"""Parts of a model that are not trained, in a traced update of a whole loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advisor.agent.base import dynamo, slots
from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.roots import Root, Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.observe.tracing import Tracing
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision
from advisor.agent.settings.untrained import part_facts

PICTURES = torch.ones(8, 16)


class Classifier(nn.Module):
    """A backbone of two layers and a head."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(16, 32), nn.Dropout(dropout), nn.Linear(32, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.backbone(pictures))


class Loop:
    """A script's loop with the hooks that find its models, and a trace window over its updates."""

    def __init__(self, model: nn.Module, parameters: Any) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(parameters, lr=0.1)
        self.clock = StepClock()
        self.roots, self.steps = Roots(self.clock), Steps(self.clock)
        self.controls = Controls(self.clock, self.roots, self.steps, LoaderHooks(self.clock), Precision(self.roots))
        self.steps.install()
        self.tracing = Tracing(self.controls)

    def update(self, pictures: Tensor = PICTURES) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.model(pictures).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def begin(self) -> None:
        """Let the hooks find the model, as they do at the first updates."""
        self.update()
        owned = self.steps.owned_parameters()
        self.roots.seek(owned, owned)
        self.update()

    def traced(self, *updates: Callable[[], Any]) -> dict[str, Any]:
        self.begin()
        dynamo.without_dynamo(self.tracing.settle)
        dynamo.without_dynamo(self.tracing.start)
        for update in updates or (self.update, self.update):
            update()
        found: dict[str, Any] = dynamo.without_dynamo(self.tracing.stop)["trace"]["operators"]
        return found


@pytest.fixture
def loop() -> Iterator[Callable[..., Loop]]:
    made: list[Loop] = []

    def make(model: nn.Module, parameters: Any = None) -> Loop:
        made.append(Loop(model, list(model.parameters()) if parameters is None else parameters))
        return made[-1]

    yield make
    for each in made:
        each.steps.remove()
        each.roots.suspend()


def frozen(**options: Any) -> Classifier:
    model = Classifier(**options)
    model.backbone.requires_grad_(False)
    return model


def facts(models: list[nn.Module], owned: set[int], calls: int = 1) -> dict[str, Any]:
    """Return what is known of models that ran `calls` times with gradients."""
    roots = [Root(model, 0) for model in models]
    for root in roots:
        root.training_calls = calls
    return part_facts(roots, owned)


Make = Callable[..., Loop]


def test_a_frozen_backbone_is_one_part_with_its_share_and_its_line(loop: Make) -> None:
    (part,) = loop(frozen()).traced()["frozen_parts"]
    assert (part["name"], part["class_name"]) == ("backbone", "Sequential")
    assert (part["function"], part["line"]) == ("forward", Classifier.forward.__code__.co_firstlineno + 1)
    assert 0 < part["seconds_fraction"] < 1
    backbone, head = 2 * 8 * (16 * 32 + 32 * 8), 2 * 8 * 8 * 2
    # The head's backward has one product: nothing in front of it needs a gradient.
    assert part["flops_fraction"] == pytest.approx(backbone / (backbone + 2 * head))
    assert not part["draws_before"]
    assert part["varying"] == []


def test_a_model_that_is_trained_whole_has_no_frozen_part(loop: Make) -> None:
    found = loop(Classifier()).traced()
    assert found["frozen_parts"] == []
    assert found["unused_gradients"] is None


def test_a_part_that_runs_without_gradients_counts_like_a_frozen_one(loop: Make) -> None:
    class Without(Classifier):
        def forward(self, pictures: Tensor) -> Tensor:
            with torch.no_grad():
                features = self.backbone(pictures)
            return self.head(features)

    model = Without()
    (part,) = loop(model, model.head.parameters()).traced()["frozen_parts"]
    assert part["name"] == "backbone"


def test_a_parts_own_dropout_is_told_as_what_varies(loop: Make) -> None:
    (part,) = loop(frozen(dropout=0.5)).traced()["frozen_parts"]
    assert not part["draws_before"]
    assert part["varying"] == ["Dropout"]


def test_noise_in_front_of_the_part_is_told(loop: Make) -> None:
    made = loop(frozen())
    (part,) = made.traced(lambda: made.update(PICTURES + torch.randn(8, 16)))["frozen_parts"]
    assert part["draws_before"]


def test_drawing_which_samples_to_take_is_no_noise(loop: Make) -> None:
    made = loop(frozen())
    (part,) = made.traced(lambda: made.update(PICTURES[torch.randperm(8)]))["frozen_parts"]
    assert not part["draws_before"]


def test_a_frozen_layer_behind_a_trained_one_is_no_part(loop: Make) -> None:
    model = Classifier()
    model.head.requires_grad_(False)
    assert loop(model).traced()["frozen_parts"] == []


def test_an_average_of_weights_is_no_frozen_part(loop: Make) -> None:
    class WithTeacher(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.teacher = nn.Linear(16, 2), nn.Linear(16, 4).requires_grad_(False)

        def forward(self, pictures: Tensor) -> Tensor:
            return self.student(pictures) + self.teacher(pictures)[:, :2]

    model = WithTeacher()
    made = loop(model)

    def update() -> None:
        made.update()
        model.teacher.weight.data.mul_(0.9)

    assert made.traced(update)["frozen_parts"] == []


def test_a_copy_of_what_is_trained_is_no_frozen_part(loop: Make) -> None:
    class WithTarget(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online, self.target = nn.Linear(16, 2), nn.Linear(16, 2).requires_grad_(False)

        def forward(self, pictures: Tensor) -> Tensor:
            return self.online(pictures) - self.target(pictures)

    model = WithTarget()
    assert loop(model).traced()["frozen_parts"] == []
    assert facts([model], {1})["frozen_parts"] == []


def test_a_skeleton_that_runs_with_other_parameters_is_no_frozen_part(loop: Make) -> None:
    skeleton = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    members = [nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)) for _ in range(3)]
    parameters, _buffers = torch.func.stack_module_state(members)  # type: ignore[arg-type]

    def member(own: Any, pictures: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(skeleton, own, (pictures,))
        return found

    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.skeleton = skeleton.requires_grad_(False)

        def forward(self, pictures: Tensor) -> Tensor:
            found: Tensor = torch.vmap(member, in_dims=(0, None))(parameters, pictures)
            return found

    made = loop(Ensemble(), list(parameters.values()))
    made.model.requires_grad_(False)
    assert made.traced()["frozen_parts"] == []


def test_frozen_layers_of_a_row_are_parts_though_trained_ones_are_alike(loop: Make) -> None:
    model = nn.Sequential(*(nn.Linear(16, 16) for _ in range(3)))
    model[:2].requires_grad_(False)
    assert {part["name"] for part in loop(model).traced()["frozen_parts"]} == {"0", "1"}
    assert facts([model], {1})["frozen_parts"] == ["0", "1"]


def test_gradients_that_no_optimizer_uses_are_told(loop: Make) -> None:
    model = Classifier()
    unused = loop(model, model.head.parameters()).traced()["unused_gradients"]
    assert unused["names"] == ["backbone"]
    assert unused["parameters"] == sum(each.numel() for each in model.backbone.parameters())
    assert unused["leading"]
    assert unused["function"] == "forward"
    assert 0 < unused["seconds_fraction"] < 1


def test_a_layer_behind_a_trained_one_is_not_leading(loop: Make) -> None:
    model = Classifier()
    unused = loop(model, model.backbone.parameters()).traced()["unused_gradients"]
    assert (unused["names"], unused["leading"]) == (["head"], False)


def test_parameters_that_the_script_changes_itself_are_used(loop: Make) -> None:
    model = Classifier()
    made = loop(model, model.head.parameters())

    def update() -> None:
        made.update()
        with torch.no_grad():
            for parameter in model.backbone.parameters():
                parameter.sub_(0.1 * parameter.grad)

    assert made.traced(update)["unused_gradients"] is None


def test_an_output_that_breaks_when_it_is_looked_into_breaks_nothing(loop: Make) -> None:
    class Awkward(dict[str, Tensor]):
        def values(self) -> Any:
            raise RuntimeError("ask me nothing")

    class WithAwkward(Classifier):
        def forward(self, pictures: Tensor) -> Tensor:
            return self.head(self.wrapped(pictures)["features"])

        def __init__(self) -> None:
            super().__init__()
            outer = self

            class Wrapped(nn.Module):
                def __init__(self) -> None:
                    super().__init__()
                    self.backbone = outer.backbone.requires_grad_(False)

                def forward(self, pictures: Tensor) -> Awkward:
                    return Awkward(features=self.backbone(pictures))

            self.wrapped = Wrapped()

    assert [part["name"] for part in loop(WithAwkward()).traced()["frozen_parts"]] == ["backbone"]


def test_no_module_is_watched_after_the_window(loop: Make) -> None:
    model = frozen()
    loop(model).traced()
    inner = [module for module in model.modules() if module is not model]
    assert [module for module in inner if slots.SLOT in vars(module)] == []


def test_attention_is_seen_below_the_counter_of_flops(loop: Make) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(16, 16)

        def forward(self, tokens: Tensor) -> Tensor:
            query = self.enter(tokens)
            return (query @ query.transpose(-2, -1)).softmax(-1) @ query

    made = loop(Attention())
    tokens = torch.ones(2, 5, 16)
    found = made.traced(lambda: made.update(tokens))
    (site,) = found["attention"]
    assert (site["function"], site["rows"], site["columns"]) == ("forward", 5, 5)
    assert found["flops_by_dtype"].keys() == {"float32"}


# --- what is known before anything was traced ----------------------------------------------------------------------


def test_facts_name_frozen_parts_and_count_unused_gradients() -> None:
    model = frozen()
    assert facts([model], set())["frozen_parts"] == ["backbone"]
    model = Classifier()
    model(PICTURES).sum().backward()
    head = {id(each) for each in model.head.parameters()}
    backbone = sum(each.numel() for each in model.backbone.parameters())
    assert facts([model], head) == {"frozen_parts": [], "unused_gradients": backbone}
    assert facts([model], set())["unused_gradients"] == 0  # a script without an optimizer updates by hand
    assert facts([model], {1})["unused_gradients"] == 0  # an optimizer of copies in another precision owns none of them


def test_a_model_that_never_ran_with_gradients_is_frozen() -> None:
    model = nn.Linear(16, 8)
    assert facts([model], set(), calls=0)["frozen_parts"] == ["Linear"]


def test_a_frozen_table_of_few_parameters_is_no_part() -> None:
    model = Classifier()
    model.head.requires_grad_(False)
    assert facts([model], set())["frozen_parts"] == []


# --- without their cost ---------------------------------------------------------------------------------------------


def test_a_frozen_part_hands_out_its_last_output_and_computes_again_afterwards(loop: Make) -> None:
    model = frozen()
    made = loop(model)
    made.begin()
    seen: list[int] = []
    model.backbone[0].register_buffer("calls", torch.zeros(()))
    watched = slots.put(model.backbone[0], lambda module, original, args, kwargs: _counted(seen, original, args))
    made.controls.untrained.hand_out(True)
    made.update()
    made.update()
    assert len(seen) == 1
    made.controls.untrained.hand_out(False)
    made.update()
    assert len(seen) == 2
    slots.take(model.backbone[0], watched)


def _counted(seen: list[int], original: Callable[..., Any], args: Any) -> Any:
    seen.append(1)
    return original(*args)


def test_an_output_that_the_script_changes_in_place_stays_as_it_was(loop: Make) -> None:
    model = frozen()
    made = loop(model)
    made.begin()
    made.controls.untrained.hand_out(True)
    first = model.backbone(PICTURES)
    model.backbone(PICTURES).zero_()
    assert torch.equal(model.backbone(PICTURES), first)
    made.controls.untrained.hand_out(False)


def test_unused_gradients_are_left_out_and_computed_again_afterwards(loop: Make) -> None:
    model = Classifier()
    made = loop(model, model.head.parameters())
    made.begin()
    made.controls.untrained.stop_gradients(True)
    assert not any(each.requires_grad for each in model.backbone.parameters())
    assert all(each.requires_grad for each in model.head.parameters())
    made.update()
    made.controls.untrained.stop_gradients(False)
    assert all(each.requires_grad for each in model.parameters())


class Wide(nn.Module):
    """A block that keeps its input and two wide activations for its backward."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, values: Tensor) -> Tensor:
        return values + self.down(torch.relu(self.up(values)))


def test_repeated_blocks_are_measured_together(loop: Make) -> None:
    model = nn.Sequential(nn.Linear(16, 16), *[Wide() for _ in range(3)], nn.Linear(16, 4))
    found = loop(model).traced()
    blocks, rows = found["blocks"], 4 * 8
    assert (blocks["class_name"], blocks["count"]) == ("Wide", 3)
    assert blocks["parameters"] == 3 * (2 * 16 * 64 + 64 + 16)
    # In 8 rows of float32: three inputs, and what follows each `relu`, which keeps its result.
    assert blocks["input_bytes"] == 3 * rows * 16
    assert blocks["kept_bytes"] == 3 * rows * (16 + 64)
    assert found["output_bytes"] == rows * 4
    assert [one["name"] for one in blocks["each"]] == ["1", "2", "3"]
    assert [one["kept_bytes"] for one in blocks["each"]] == 3 * [rows * (16 + 64)]
    shares = [one["seconds_fraction"] for one in blocks["each"]]
    assert sum(shares) == pytest.approx(blocks["seconds_fraction"])
    assert min(shares) > 0
    products = 3 * 2 * 16 * 64
    around = 16 * 16 + 16 * 4
    # The first layer's input needs no gradient: one product of its backward is missing.
    assert blocks["flops_fraction"] == pytest.approx(products / (3 * (products + around) - 16 * 16))


def test_a_model_without_repeated_blocks_has_none(loop: Make) -> None:
    assert loop(Classifier()).traced()["blocks"] is None


def test_gradients_that_are_reset_before_the_forward_are_not_there_in_it(loop: Make) -> None:
    assert not loop(Classifier()).traced()["gradients_in_forward"]


def test_gradients_that_are_reset_after_the_forward_are_seen(loop: Make) -> None:
    late = loop(Classifier())

    def update() -> None:
        loss = late.model(PICTURES).square().mean()
        late.optimizer.zero_grad()
        loss.backward()
        late.optimizer.step()

    assert late.traced(update, update)["gradients_in_forward"]


class Backwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Wide() for _ in range(3))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for layer in reversed(self.layers):
            values = layer(values)
        return values


def test_blocks_are_in_the_order_of_their_calls(loop: Make) -> None:
    each = loop(Backwards()).traced()["blocks"]["each"]
    assert [one["name"] for one in each] == ["layers.2", "layers.1", "layers.0"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torch_begins_stages_at_the_names_of_blocks(loop: Make) -> None:
    from torch.distributed.pipelining import SplitPoint, pipeline

    model = Backwards()
    second, third = (one["name"] for one in loop(model).traced()["blocks"]["each"][1:])
    inputs = torch.randn(8, 16)
    spec = dict.fromkeys((second, third), SplitPoint.BEGINNING)
    made = pipeline(model, mb_args=(inputs,), split_spec=spec)
    assert made.num_stages == 3
    values = inputs
    for number in range(3):
        values = made.get_stage_module(number)(values)
    assert torch.allclose(values[0] if isinstance(values, tuple) else values, model(inputs), atol=1e-6)
