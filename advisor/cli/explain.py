"""The command `explain`."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    name: Annotated[
        str | None, typer.Argument(metavar="[RULE|KNOB]", help="Id of a rule or knob; without one, list them all.")
    ] = None,
) -> None:
    """Explain a rule (evidence, thresholds, source) or a knob (its effect)."""
    from .. import knobs, rules

    known = {knob.id: knob for knob in knobs.all_knobs()}
    if name is None:
        listed = [(rule.id, rule.title) for rule in rules.all_rules()]
        for entry, title in (*listed, *((knob.id, knob.title) for knob in known.values())):
            typer.echo(f"{entry:24} {title}")
    elif name in known:
        typer.echo(knobs.explain(known[name]))
    else:
        typer.echo(rules.explain(rules.get(name, also=known)))
