"""The command `export`: argv → api → print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..discovery import ids
from ._options import Json, Runs
from ._output import print_json

if TYPE_CHECKING:
    from ..types import Artifact


EMPTY = "holds no setting: there is none, or the tool has no place for it"
TARGETS = ids([str(Path(__file__).resolve().parents[1] / "settings_file" / "exports")])


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RUN",
            help="Settings file written by advisor tune, or a stored search: latest, an id, a folder.",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGETS",
            help=f"Comma-separated: {', '.join(TARGETS)}. Default for a stored search: advisor.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the files; created if missing.")
    ] = Path(),
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing files.")] = False,
    runs: Runs = None,
    json_output: Json = False,
) -> None:
    """Export settings to files of other tools.

    Settings that a tool cannot express are listed. A stored search is written to advisor.yaml unless --to names other
    targets. The target patch changes the script's constants in its source.
    """
    from ..workflows.export import export_to

    written = export_to(source, split(to) if to is not None else [], output, overwrite=force, runs=runs)
    if json_output:
        print_json(_as_json(written))
        return
    for artifact, file in written:
        _show(artifact, file)


def split(targets: str) -> list[str]:
    """Return the targets in `accelerate,deepspeed`; raise UsageError if there is none."""
    from ..errors import UsageError

    found = [name.strip() for name in targets.split(",") if name.strip()]
    if not found:
        raise UsageError("--to names no target: expected one or more, such as accelerate,torchrun")
    return found


def _show(artifact: Artifact, file: Path) -> None:
    typer.echo(f"{file}: {EMPTY if artifact.is_empty else artifact.usage}")
    for title, items in (("not expressed", artifact.not_expressed), ("to be filled in", artifact.to_fill)):
        if items:
            typer.echo(f"  {title}:")
        for item in items:
            typer.echo(f"    {item.what}: {item.why}")


def _as_json(written: list[tuple[Artifact, Path]]) -> dict[str, Any]:
    return {
        "version": 1,
        "files": [
            {
                "target": artifact.target,
                "path": str(file),
                "holds_settings": not artifact.is_empty,
                "usage": artifact.usage,
                "not_expressed": [{"what": item.what, "why": item.why} for item in artifact.not_expressed],
                "to_fill": [{"what": item.what, "why": item.why} for item in artifact.to_fill],
            }
            for artifact, file in written
        ],
    }
