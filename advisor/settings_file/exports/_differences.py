"""Parts of a file that no longer hold on another machine, or with another torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ... import knobs
from ...types import Hardware
from ..advisor_yaml import Document
from ..hardware_words import hardware_words
from ._base import training_of

SAME_MEMORY = 0.9
"""Share of the original memory that suffices: more than the difference was left free then."""
LONGEST = 80
MOST = 1e9
"""Limit on CPUs, GiB or factors: a larger value (or a non-number) was not measured."""
_RELEASE = re.compile(r"\d+\.\d+")


def differences(document: Document, hardware: Hardware, versions: Mapping[str, str]) -> list[str]:
    """Describe what no longer holds here, a sentence each; none if the machine is alike or the file changes nothing.

    `versions` maps packages to versions, as far as known. Facts that the file omits, or says in a form that advisor
    does not write, are not compared.
    """
    settings = document.config.as_dict()
    there, here = _mapping(document.found.get("hardware")), hardware_words(hardware)
    on_cpu = training_of(document).device in (None, "cpu")
    found = [
        *_cpus(there, here, _chosen_for(settings, "cpus"), _chosen_for(settings, "device") if on_cpu else ""),
        *_memory(there, here, _chosen_for(settings, "host memory")),
        *_devices(there, here, _chosen_for(settings, "device", "transfers")),
        *_torch(document, versions, _chosen_for(settings, "torch")),
    ]
    if found:
        found.append(_speedup(document))
    return found


def _cpus(there: Mapping[str, Any], here: Mapping[str, Any], hosts: str, compute: str) -> list[str]:
    count = _number(there.get("usable_cpus"))
    found = []
    if count is not None and count != here["usable_cpus"] and hosts:
        found.append(f"found with {count:g} CPUs, here {here['usable_cpus']:g}: {hosts} may be too many or too few")
    model = there.get("cpu")
    if isinstance(model, str) and model != here["cpu"] and compute:
        found.append(f"found on the CPU {_word(model)}, here {_word(here['cpu'])}: {compute} may be no faster here")
    return found


def _memory(there: Mapping[str, Any], here: Mapping[str, Any], names: str) -> list[str]:
    found_gib = _number(there.get("ram_gib"))
    if found_gib is None or here["ram_gib"] >= SAME_MEMORY * found_gib or not names:
        return []
    return [f"found with {found_gib:g} GiB of memory, here {here['ram_gib']:g}: {names} may not fit"]


def _devices(there: Mapping[str, Any], here: Mapping[str, Any], names: str) -> list[str]:
    devices = there.get("accelerators")
    if not isinstance(devices, list) or [str(name) for name in devices] == here["accelerators"] or not names:
        return []
    before = ", ".join(_word(name) for name in devices) or "no accelerator"
    now = ", ".join(_word(name) for name in here["accelerators"]) or "none"
    return [f"found with {before}, here {now}: {names} may not fit, may not work, or may be slower than the baseline"]


def _torch(document: Document, versions: Mapping[str, str], names: str) -> list[str]:
    before, now = _mapping(document.found.get("versions")).get("torch"), versions.get("torch")
    releases = [_RELEASE.match(str(version)) for version in (before, now) if version is not None]
    known = [match[0] for match in releases if match is not None]
    if len(known) < 2 or known[0] == known[1] or not names:
        return []
    return [
        f"found with torch {known[0]}, here {known[1]}: {names} may behave differently, or be no faster than the "
        "baseline"
    ]


def _speedup(document: Document) -> str:
    speedup = _number(document.verdict.get("speedup"))
    of = f"the speed-up of {speedup:.2f}" if speedup is not None else "the speed-up"
    return f"{of} was measured there, not here: search again with advisor tune"


def _chosen_for(settings: Mapping[str, Any], *reasons: str) -> str:
    """Join the names of the settings that were chosen for one of these; return an empty string if there is none."""
    return ", ".join(
        knob.id for knob in knobs.all_knobs() if knob.id in settings and set(knob.chosen_for) & set(reasons)
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < MOST else None


def _word(value: Any) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value))[:LONGEST]
