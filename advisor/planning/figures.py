"""Figures of `profiles/planning`: links of machines, and the fractions of peaks that training reaches."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..storage.data_files import profiles_folder


@dataclass(frozen=True, kw_only=True)
class Fraction:
    """Fraction of a peak, and its origin."""

    value: float
    source: str
    known: bool = True
    """False where it is assumed for want of any figure of such a device."""


@dataclass(frozen=True, kw_only=True)
class Achieved:
    """Fractions of the peaks that training reaches on one kind of device."""

    matrix: Fraction
    attention: Fraction
    memory: Fraction
    link: Fraction
    network: Fraction
    link_latency_s: float
    network_latency_s: float
    usable_memory: float


@lru_cache(maxsize=4)
def read(name: str) -> Mapping[str, Any]:
    """Return the content of a file of `profiles/planning`."""
    return tomllib.loads((profiles_folder() / "planning" / f"{name}.toml").read_text(encoding="utf-8"))


def achieved(compute_capability: tuple[int, int] | None) -> Achieved:
    """Return the fractions for devices of this compute capability; None stands for devices of other makers."""
    content = read("achieved")
    return Achieved(
        matrix=_of_generation(content["matrix"], compute_capability),
        attention=_of_generation(content["attention"], compute_capability),
        memory=_fraction(content["memory"]),
        link=_fraction(content["link"]),
        network=_fraction(content["network"]),
        link_latency_s=content["link"]["latency_us"] * 1e-6,
        network_latency_s=content["network"]["latency_us"] * 1e-6,
        usable_memory=content["usable_memory"]["fraction"],
    )


def _of_generation(entries: Mapping[str, Mapping[str, Any]], capability: tuple[int, int] | None) -> Fraction:
    for entry in entries.values():
        if capability is not None and tuple(entry.get("compute_capability", ())) == capability:
            return _fraction(entry)
    return _fraction(entries["other"], known=False)


def _fraction(entry: Mapping[str, Any], *, known: bool = True) -> Fraction:
    return Fraction(value=entry["fraction"], source=entry["from"], known=known)
