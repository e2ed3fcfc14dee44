"""`advisor.yaml`: the settings found, where they were found, and what is known of them.

A file may be older, newer, edited by hand or hostile. Sizes, depth and types are therefore bounded, and reading
yields only plain values.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..number_range import in_range, out_of_range
from ..redaction import Redactor
from ..script_constants import Plain
from ..types import Config, Recommendation, SettingValue, Verdict
from ..types.comparison import FLOOR_PROCESSES
from .hardware_words import hardware_words
from .how_to_train import how_to_train
from .script_values import LONGEST_TEXT, brief, kind, mapping, read_arguments, read_constants, read_updates

VERSION = 1
"""Version of the format; this advisor reads all versions up to it."""
ENTRIES = ("version", "settings", "updates", "arguments", "constants", "verdict", "found")
MOST_BYTES = 64 * 1024
"""Limit on a file's size: advisor writes about two thousand bytes, and nobody edits in thirty times that."""
MOST_DEPTH = 8
MOST_SETTINGS = 100
_KNOB = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_WIDTH = 100
"""Characters in one line of a comment."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """Content of a file."""

    config: Config
    updates: float | None = None
    """Length of the training in updates, which schedules of the learning rate need."""
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    """Options of the script itself, as given on its command line: flag → value."""
    constants: Mapping[str, Plain] = field(default_factory=dict)
    """Constants of the script: name → value."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the settings: command, hardware, versions; verbatim, for people and for comparisons."""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False, compare=False)
    """Text of the file; empty for a document that was not read from one."""

    @property
    def stand_for(self) -> dict[str, str]:
        """Return option of `arguments` or constant → knob it stood for in the search, as far as the file says."""
        options = self.found.get("options")
        known = options if isinstance(options, dict) else {}
        own = (*self.arguments, *self.constants)
        return {flag: knob for flag in own if isinstance(knob := known.get(flag), str)}


# --- writing --------------------------------------------------------------------------------------------------------


def render(
    found: Recommendation,
    *,
    advisor: str,
    created: str,
    versions: Mapping[str, str],
    changes: Mapping[str, str],
    training: Mapping[str, Any],
    only: Sequence[str] | None = None,
    updates: int | None = None,
) -> str:
    """Return the text of the file.

    `changes` says for each knob what it is and what the user will notice. `training` says how the baseline trains.
    `only` lists the knobs that were searched, if the user named them. `updates` is the length of the training that a
    schedule was found for.
    """
    lines = [
        f"# Settings for {_comment(found.command.display)}",
        *how_to_train(
            _comment(found.command.display), bool(found.command.function), f"# found by advisor {advisor}, {created}."
        ),
        "",
        f"version: {VERSION}",
        "",
        *_searched(only),
        *_settings(found, changes),
        "",
        *_length(updates),
        *_arguments(found, changes),
        *_constants(found, changes),
        *_notes(found),
        *_verdict(found.verdict),
        *_alternatives(found),
        "# Hardware and versions of the search; on another machine or after an upgrade, search again.",
        _block({"found": _found(found, advisor, created, versions, training)}),
    ]
    return "\n".join(lines)


def plain_text(document: Document) -> str:
    """Return the text of a file that says what the document says, without comments."""
    content = {
        "version": VERSION,
        "settings": document.config.as_dict(),
        "updates": document.updates,
        "arguments": dict(document.arguments),
        "constants": dict(document.constants),
        "verdict": dict(document.verdict),
        "found": dict(document.found),
    }
    return _block({name: value for name, value in content.items() if value or name == "settings"})


def _searched(only: Sequence[str] | None) -> list[str]:
    if only is None:
        return []
    names, were = ", ".join(map(_comment, only)), "was" if len(only) == 1 else "were"
    comment = f"Only {names} {were} searched, as requested; other knobs may be faster still."
    return [f"# {line}" for line in textwrap.wrap(comment, _WIDTH)]


def _settings(found: Recommendation, changes: Mapping[str, str]) -> list[str]:
    if not found.config.settings:
        return ["# Nothing was found that is clearly faster than the unmodified script.", "settings: {}"]
    lines = ["settings:" if found.by_agent else "settings: {}"]
    for name, value in found.by_agent.items():
        lines += [*_change(name, changes), f"  {name}: {_scalar(value)}"]
    return lines


def _length(updates: int | None) -> list[str]:
    if updates is None:
        return []
    comment = "Updates that the schedule was found for; write those of your training if it is longer or shorter."
    return [f"# {comment}", f"updates: {updates}", ""]


def _arguments(found: Recommendation, changes: Mapping[str, str]) -> list[str]:
    """Return the lines for settings that the script takes on its own command line."""
    if not found.passed_as_arguments:
        return []
    lines = ["# Options of the script itself: advisor run puts them on its command line.", "arguments:"]
    for name, flags in found.passed_as_arguments.items():
        lines += [*_change(name, changes), *(f"  {_scalar(flag)}: {_scalar(value)}" for flag, value in flags.items())]
    return [*lines, ""]


def _constants(found: Recommendation, changes: Mapping[str, str]) -> list[str]:
    """Return the lines for settings that the script has as constants."""
    if not found.constants:
        return []
    lines = ["# Constants of the script: advisor run sets them before it runs; the file stays as it is.", "constants:"]
    for name, values in found.constants.items():
        change = [] if name in found.passed_as_arguments else _change(name, changes)
        lines += [*change, *(f"  {_scalar(constant)}: {_scalar(value)}" for constant, value in values.items())]
    return [*lines, ""]


def _change(name: str, changes: Mapping[str, str]) -> list[str]:
    return [f"  # {line}" for line in textwrap.wrap(_comment(changes.get(name, "")), _WIDTH)]


_IN_WINDOWS, _IN_PROCESSES, _QUALITY = "# Measured in windows", "# Measured in fresh processes", "# Quality: "
_OF_VERDICT = re.compile(r"""["']?verdict["']?\s*:""")


def with_verdict(text: str, verdict: Verdict) -> str:
    """Return the file's text with this verdict in place of its own; all other lines, comments too, stay unchanged."""
    lines = text.splitlines()
    begin = next((place for place, line in enumerate(lines) if _OF_VERDICT.match(line)), len(lines))
    end = min(begin + 1, len(lines))
    for place in range(end, len(lines)):
        if lines[place].startswith((" ", "\t")):
            end = place + 1
        elif lines[place].strip():
            break
    while begin and lines[begin - 1].startswith((_IN_WINDOWS, _IN_PROCESSES, _QUALITY)):
        begin -= 1
    new = "\n".join(_verdict(verdict)).rstrip("\n")
    return "\n".join([*lines[:begin], new, *lines[end:]]) + "\n"


def _notes(found: Recommendation) -> list[str]:
    """Return the lines on what a person must know about the settings, or do with them."""
    lines = [f"# {line}" for note in found.notes for line in textwrap.wrap(_comment(note), _WIDTH)]
    return [*lines, ""] if lines else []


def _verdict(verdict: Verdict) -> list[str]:
    if not verdict.rounds:
        comment = ["# No settings were compared with the unmodified script in fresh processes."]
    elif verdict.status in ("unproven", "unverified"):
        comment = [f"{_IN_WINDOWS} of one run, not yet in fresh processes."]
    else:
        floor = f"; noise floor {verdict.floor:.1%}" if verdict.rounds >= FLOOR_PROCESSES else ""
        comment = [f"{_IN_PROCESSES}, alternating with the unmodified script{floor}."]
    if verdict.quality_evidence:
        comment.append(f"{_QUALITY}{_comment(verdict.quality_evidence)}.")
    body = {
        "status": verdict.status,
        **({"speedup": _rounded(verdict.speedup)} if verdict.rounds else {}),
        **({"interval": [_rounded(verdict.low), _rounded(verdict.high)]} if verdict.rounds else {}),
        "rounds": verdict.rounds,
        "quality": verdict.quality,
    }
    return [*comment, _block({"verdict": body})]


def _alternatives(found: Recommendation) -> list[str]:
    lines = []
    for other in found.alternatives:
        verdict = other.verdict
        lines += [
            f"# Faster still, {verdict.speedup:.2f} times ({verdict.low:.2f} to {verdict.high:.2f}), "
            "but training changes:",
            *(f"#   {name}: {_scalar(value)}" for name, value in other.config.settings),
            f"# {_comment(other.note)}.",
            "",
        ]
    return lines


def _found(
    found: Recommendation, advisor: str, created: str, versions: Mapping[str, str], training: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "created": created,
        # A function has no command that other tools could start.
        "function" if found.command.function else "command": found.command.display,
        **({"launcher": found.command.launcher_words} if found.command.is_launched else {}),
        "folder": found.command.cwd,
        "hardware": hardware_words(found.hardware),
        "versions": {"advisor": advisor, **{name: versions[name] for name in ("python", "torch") if name in versions}},
        "training": dict(training),
        **({"options": options} if (options := _options(found)) else {}),
    }


def _options(found: Recommendation) -> dict[str, str]:
    """Return option or constant of the script → knob it stands for, which its name alone does not reveal later."""
    own = (*found.passed_as_arguments.items(), *found.constants.items())
    return {flag: knob for knob, flags in own for flag in flags}


def _block(content: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _scalar(value: SettingValue) -> str:
    import yaml

    return yaml.safe_dump(value, width=1000).split("\n", 1)[0]


def _comment(text: str) -> str:
    """Return the user's text on one line, so that it cannot end the comment it stands in."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _rounded(value: float) -> float:
    return round(value, 3)


# --- reading --------------------------------------------------------------------------------------------------------


def read(path: Path) -> Document:
    """Read the file's content, bounded and of plain values; the caller checks whether the settings are known.

    Raises `UsageError`, with the path and what to do, for anything but a configuration of this or an older version.
    """
    return parse(_text(path), path)


def parse(text: str, path: Path) -> Document:
    """Parse `text`, the content of `path`; raise UsageError as `read` does."""
    body = _parsed(path, text)
    if not isinstance(body, dict):
        raise UsageError(
            f"{path} is not a settings file of advisor (it holds {kind(body)}): create one with advisor tune"
        )
    _check_version(path, body.get("version"))
    unknown = [str(key) for key in body if key not in ENTRIES]
    if unknown:
        names = _comment(", ".join(unknown)[:LONGEST_TEXT])
        raise UsageError(f"{path} has unknown entries ({names}): settings belong below settings:")
    return Document(
        config=_read_settings(path, body.get("settings")),
        updates=read_updates(path, body.get("updates")),
        arguments=read_arguments(path, body.get("arguments")),
        constants=read_constants(path, body.get("constants")),
        found=_without_secrets(mapping(path, "found", body.get("found"))),
        verdict=mapping(path, "verdict", body.get("verdict")),
        text=text,
    )


def _without_secrets(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the origin of the settings without secrets, which version 0.2 wrote into the command."""
    redactor, command = Redactor(), found.get("command")
    shown = {**found, "command": redactor.command_line(command)} if isinstance(command, str) else found
    return redactor.of(shown)


def check(config: Config, where: object) -> None:
    """Raise UsageError, with `where` the settings stand, for a setting that no knob can have."""
    from .. import knobs

    why = knobs.refusal(config.as_dict())
    if why is not None:
        raise UsageError(f"{where}: {why}")


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError(f"there is no settings file {path}: create one with advisor tune, or give its path")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is larger than {MOST_BYTES:,} bytes: it is not a settings file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}): it is not a settings file") from error


def _parsed(path: Path, text: str) -> Any:
    import yaml

    class Bounded(yaml.SafeLoader):
        """Loader of plain values only: no aliases, no duplicate keys, no deep nesting."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError("aliases are not allowed")
            self.depth += 1
            if self.depth > MOST_DEPTH:
                raise yaml.YAMLError(f"nested deeper than {MOST_DEPTH} levels")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names = [key.value for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise yaml.YAMLError(f"given twice: {brief(twice)}")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Bounded)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = _comment(" ".join(str(error).split())[:LONGEST_TEXT])
        raise UsageError(f"{path} cannot be read as YAML: {why}") from error


def _check_version(path: Path, version: Any) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError(
            f"{path} is not a settings file of advisor (version: {brief(version)}): create one with advisor tune"
        )
    if version > VERSION:
        raise UsageError(f"{path} has format version {version}, this advisor reads up to {VERSION}: upgrade advisor")


def _read_settings(path: Path, found: Any) -> Config:
    settings = mapping(path, "settings", found)
    if len(settings) > MOST_SETTINGS:
        raise UsageError(f"{path} has {len(settings)} settings, more than there are knobs")
    for name, value in settings.items():
        if not _KNOB.fullmatch(name):
            raise UsageError(f"{path}: {brief(name)} is not the name of a knob")
        if not isinstance(value, str | int | float | bool):
            raise UsageError(f"{path}: {name} holds {kind(value)}: expected a single value")
        if isinstance(value, int | float) and not in_range(value):
            raise UsageError(f"{path}: {name} is {out_of_range(value)}: expected a finite number")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise UsageError(f"{path}: {name} is a text of {len(value)} characters: no knob takes that")
    return Config.of(settings)
