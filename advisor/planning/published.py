"""Published training speeds against predicted ones: the check of the plan's times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..types import Layout, PlannedLayout
from .cluster import Cluster, Given, devices_of
from .cost import BlockCost, ModelCost, Work
from .figures import Fraction, read
from .ranking import judged
from .timing import Timer
from .transformer import from_sizes, sizes_of

FRACTIONS = (0.1, 1.0)
"""Range in which a fraction of a peak is looked for."""
HALVINGS = 40


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One published row, and what the plan says."""

    name: str
    unit: str
    published: float
    """Units per second: tokens of one device, or images of all."""
    predicted: float
    memory_gib: float | None
    """Published memory."""
    predicted_memory_gib: float | None
    calibrates: str
    """Constant that this row fixed; "" for a row that is predicted."""
    source: str

    @property
    def error(self) -> float:
        return self.predicted / self.published - 1


def predictions() -> tuple[Prediction, ...]:
    """Return all published rows with what the plan predicts for them."""
    return (*_of_transformers(), *_of_images())


def calibrated_fraction(name: str) -> float:
    """Return the fraction of the products' peak with which the row of this name is predicted exactly."""
    row = next(row for row in read("published")["row"] if row["name"] == name)
    low, high = FRACTIONS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slower = _tokens_per_s(_judged(row, middle), row) < row["tokens_per_s"]
        low, high = (middle, high) if slower else (low, middle)
    return (low + high) / 2


def _of_transformers() -> Iterator[Prediction]:
    content = read("published")
    for row in content["row"]:
        found = _judged(row)
        yield Prediction(
            name=row["name"],
            unit="tokens/s a device",
            published=row["tokens_per_s"],
            predicted=_tokens_per_s(found, row),
            memory_gib=row.get("memory_gib"),
            predicted_memory_gib=found.memory.total_bytes / 2**30,
            calibrates=row.get("calibrates", ""),
            source=content["sources"][row["source"]]["url"],
        )


def _judged(row: Mapping[str, Any], matrix_fraction: float | None = None) -> PlannedLayout:
    given = Given(memory_gb=row.get("memory_gb"), bandwidth_gb_s=row.get("bandwidth_gb_s"))
    cluster = devices_of(row["devices"], row["precision"], given)
    if matrix_fraction is not None:
        fraction = Fraction(value=matrix_fraction, source="calibration")
        cluster = replace(cluster, achieved=replace(cluster.achieved, matrix=fraction))
    cost = from_sizes(
        row["model"],
        precision=row["precision"],
        compiled=row["compiled"],
        compiled_loss=row.get("compiled_loss", False),
    )
    names = ("sharding", "data", "tensor", "pipeline", "interleaved", "recompute", "micro_batch", "micro_steps")
    layout = Layout(**{name: row[name] for name in names})
    return judged(cost, cluster, Timer(cost, cluster, row["precision"]), layout)


def _tokens_per_s(found: PlannedLayout, row: Mapping[str, Any]) -> float:
    _name, sizes = sizes_of(row["model"])
    return found.samples_per_s * sizes.sequence / found.layout.devices


def _of_images() -> Iterator[Prediction]:
    content = read("published")
    first = next(row for row in content["images"] if row.get("calibrates"))
    for row in content["images"]:
        cluster = devices_of(row["devices"], "fp16", Given())
        count = cluster.device.count
        cost = _convolutional(row, 1 / first["images_per_s"], cluster)
        layout = Layout(sharding="ddp" if count > 1 else "none", data=count, micro_batch=row["images"])
        time = Timer(cost, cluster, "fp16").update(layout)
        yield Prediction(
            name=row["name"],
            unit="images/s",
            published=row["images_per_s"],
            predicted=count * row["images"] / time.total_s,
            memory_gib=None,
            predicted_memory_gib=None,
            calibrates=row.get("calibrates", ""),
            source=content["sources"][row["source"]]["url"],
        )


def _convolutional(row: Mapping[str, Any], image_s: float, cluster: Cluster) -> ModelCost:
    """Return the cost of a model of which only the time on one device is known; all of it counts as traffic."""
    moved_bytes = 20.0  # for a parameter: SGD with momentum reads three values and writes two
    optimizer_s = moved_bytes * row["parameters"] / cluster.memory_bytes_per_s
    traffic = (image_s - optimizer_s / row["images"]) * cluster.memory_bytes_per_s
    nothing = BlockCost(
        parameters=0.0,
        forward=Work(),
        backward=Work(),
        recompute={"none": Work()},
        kept_bytes={"none": 0.0},
        working_bytes=0.0,
        boundary_bytes=0.0,
    )
    return ModelCost(
        name=row["name"],
        basis="profile",
        unit="images",
        units_per_sample=1,
        blocks=1,
        block=nothing,
        first_parameters=0.0,
        last_parameters=row["parameters"],
        last_forward=Work(traffic_bytes=traffic / 3),
        last_backward=Work(traffic_bytes=traffic * 2 / 3),
        last_kept_bytes=0.0,
        last_working_bytes=0.0,
        model_flops=0.0,
        optimizer_bytes=4.0,
        optimizer_traffic_bytes=moved_bytes,
    )
