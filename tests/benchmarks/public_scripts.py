"""Would an expert sign what `advisor profile` says of public training scripts?

    python tests/benchmarks/public_scripts.py               every script of tests/workloads/public, one after the other
    python tests/benchmarks/public_scripts.py gpt lightning those whose name contains one of the words
    python tests/benchmarks/public_scripts.py --fresh ...   profile again what an earlier call has profiled

The scripts are rebuilt from what public ones do; their labels say what an expert would say first, what is right
besides, and what would be wrong. A verdict is signed where the first warning is one of those, or where none is given
and the label lets that pass; on a busy machine nothing is judged. What is measured is kept at once in the folder of
`--work`: a call that was interrupted goes on.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _common import machine, options, publish, say, table
from diagnosis import MOST_ABSTAINED, Diagnosed, Kept, diagnose, is_wanted, kept, labelled

from advisor.report.profile.headline import verdict_of
from advisor.report.profile.health import busy_machine
from advisor.storage import run_store
from advisor.types import Profile


def main() -> None:
    arguments = parsed()
    before = machine()
    labels = labelled.labels_of(labelled.PUBLIC)
    chosen = {name: label for name, label in labels.items() if is_wanted(name, arguments.words)}
    if not chosen:
        raise SystemExit(
            f"no script is called like {' or '.join(arguments.words)}: see labels.toml in {labelled.PUBLIC}"
        )
    profiles = Kept(arguments.work / "public.jsonl", fresh=list(chosen) if arguments.fresh else [])
    rows, answers = [], []
    for name, label in chosen.items():
        if lacking := labelled.missing_packages(label):
            say(f"{name:28} left out: {' and '.join(lacking)} not installed")
            continue
        diagnosed = Diagnosed.from_json(profiles.get(name) or kept(profiles, diagnose(name, label, arguments)))
        profile = newest_profile(name, arguments.work)
        busy = profile is not None and busy_machine(profile) is not None
        answers.append("undecided: the machine was busy" if busy else signed(diagnosed, label))
        sentence = _cell(diagnosed.failure or "–") if profile is None else _cell(verdict_of(profile).sentence)
        said = [f"{finding['rule']} ({finding['severity']})" for finding in diagnosed.findings]
        rows.append([name, label["rebuilt_from"], label["expert"], sentence, ", ".join(said) or "–", answers[-1]])
        say(f"{name:28} {answers[-1]}: {sentence}")
    header = ("script", "rebuilt from", "an expert says", "advisor's headline", "findings (severity)", "signed")
    whole = len(rows) == len(labels) and not arguments.no_result
    title = "Public scripts, and whether an expert would sign"
    publish("public_scripts", title, before, [total(answers), table(header, rows)], keep=whole)


def total(answers: Sequence[str]) -> str:
    """Return how many verdicts an expert would sign, of those that a quiet machine let judge."""
    right, partly, undecided = (
        sum(answer.startswith(word) for answer in answers) for word in ("yes", "partly", "undecided")
    )
    text = f"Signed: {right} of {len(answers) - undecided}, {partly} in part."
    return text if not undecided else f"{text} Not judged, since the machine was busy: {undecided}."


def parsed() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all scripts are run")
    parser.add_argument("--fresh", action="store_true", help="profile again")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"advisor-public-{os.getuid()}")
    return parser.parse_args()


def signed(diagnosed: Diagnosed, label: Mapping[str, Any]) -> str:
    """Return whether an expert would sign the findings: yes, partly or no, and why."""
    accepted = [label["rule"], *label.get("also", [])]
    wrong = [rule for rule in diagnosed.loud if rule in label.get("never", [])]
    if diagnosed.failure is not None and not diagnosed.findings:
        return "no: no verdict"
    if wrong:
        return f"no: {' and '.join(wrong)}"
    if not diagnosed.loud:
        return _of_silence(diagnosed, label, accepted)
    first, *later = diagnosed.loud
    if first in accepted:
        return "yes"
    return f"partly: {first} first" if set(later) & set(accepted) else f"no: {first}"


def _of_silence(diagnosed: Diagnosed, label: Mapping[str, Any], accepted: Sequence[str]) -> str:
    if label.get("quiet"):
        return "yes"
    if len(diagnosed.abstained) >= MOST_ABSTAINED:
        return "no: no answer"
    remarks = [rule for rule in diagnosed.rules if rule in accepted]
    return f"partly: {remarks[0]} as a remark only" if remarks else "no: nothing found"


def newest_profile(name: str, work: Path) -> Profile | None:
    """Return the profile of the script's newest run; None if that left none."""
    runs = sorted((work / "runs").glob(f"*-{name}-*"))
    file = runs[-1] / run_store.PROFILE_FILE if runs else None
    return run_store.load_profile(file) if file is not None and file.exists() else None


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[-300:]


if __name__ == "__main__":
    main()
