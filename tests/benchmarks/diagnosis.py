"""Does the diagnosis name what was planted, and does it leave healthy scripts alone?

    python tests/benchmarks/diagnosis.py                      every labelled script of tests/workloads and its reports/
    python tests/benchmarks/diagnosis.py gan tabular          those whose name contains one of the words
    python tests/benchmarks/diagnosis.py --fixes              and whether each fix gives what its ceiling says
    python tests/benchmarks/diagnosis.py --fresh ...          measure again what an earlier call has measured
    python tests/benchmarks/diagnosis.py --judge-again ...    today's rules on the profiles of an earlier call

Scripts run one after the other through `advisor profile`, as a user would call it. What is measured is kept at once,
one JSON line each, in the folder of `--work`: a call that was interrupted goes on where it stopped. A planted script
counts as right where the first finding is its label's `rule` or one of `also`, a healthy one where nothing of severity
`warning` or above is said. Where too little was counted for that to mean anything (most rules abstained), the verdict
says so. A fix is the label's; its gain is measured in fresh processes, in turn with the original.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from _common import machine, options, publish, say, table

from advisor import rules
from advisor.analysis import assembly
from advisor.report.profile.json import profile_json
from advisor.storage import run_store
from advisor.types import Diagnosis

WORKLOADS = Path(__file__).resolve().parent.parent / "workloads"
sys.path.insert(0, str(WORKLOADS))  # its modules stand beside the scripts, which are no package
labelled = importlib.import_module("labelled")
TITLES = {labelled.OWN: "Written for this benchmark", labelled.REPORTS: "From public reports"}
LOUD = ("warning", "critical")
MOST_ABSTAINED = 12
"""Of about 35 rules, some have no place in any one script; where this many abstain, silence is no answer."""
LIMIT_S = 600
SHOWN_FINDINGS = 4


@dataclass(frozen=True, kw_only=True)
class Diagnosed:
    """What `advisor profile` said about a script."""

    name: str
    findings: tuple[Mapping[str, Any], ...]
    """As in the JSON contract: rule, severity, share, ceiling, … in their order."""
    abstained: Mapping[str, str]
    """Rule → why it could not judge."""
    updates: int
    """Counted, of the script as written."""
    failure: str | None
    exit_code: int
    busy: bool = False
    """True if its report says that the machine is busy."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Diagnosed:
        return cls(**{**document, "findings": tuple(document["findings"])})

    @property
    def rules(self) -> list[str]:
        return [finding["rule"] for finding in self.findings]

    @property
    def loud(self) -> list[str]:
        return [finding["rule"] for finding in self.findings if finding["severity"] in LOUD]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What a label's fix gives: ratios of the pairs, and the CPUs that others used meanwhile."""

    name: str
    ratios: tuple[float, ...]
    """Empty where it could not be measured."""
    others_cpus: float
    failure: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Fixed:
        return cls(**{**document, "ratios": tuple(document["ratios"])})


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a fix gave beside what was said."""

    inside: bool
    """Of the ceiling's interval."""
    of_ceiling: float
    """Gain over the predicted ceiling."""
    width: float
    """Upper over lower end of the ceiling's interval."""
    above: bool = False


class Kept:
    """Results so far, a JSON line each; a torn last line is as if it had not been written."""

    def __init__(self, path: Path, *, fresh: Sequence[str]) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                document = json.loads(line)
            except json.JSONDecodeError:
                continue
            self._known[document["name"]] = document
        for name in fresh:
            self._known.pop(name, None)

    def get(self, name: str) -> dict[str, Any] | None:
        return self._known.get(name)

    def add(self, document: dict[str, Any]) -> None:
        self._known[document["name"]] = document
        with self._path.open("a") as file:
            file.write(json.dumps(document) + "\n")


def main() -> None:
    arguments = parsed()
    before = machine()
    labels = labelled.labels_of(labelled.OWN, labelled.REPORTS)
    chosen = {name: label for name, label in labels.items() if is_wanted(name, arguments.words)}
    if not chosen:
        raise SystemExit(f"no script is called like {' or '.join(arguments.words)}: see labels.toml in {WORKLOADS}")
    lacking = {name: packages for name, label in chosen.items() if (packages := labelled.missing_packages(label))}
    for name, packages in lacking.items():
        say(f"{name:28} left out: {' and '.join(packages)} not installed")
        del chosen[name]
    fresh = list(chosen) if arguments.fresh else []
    profiles = Kept(arguments.work / "profiles.jsonl", fresh=fresh)
    fixes = Kept(arguments.work / "fixes.jsonl", fresh=fresh)

    rows, fix_rows = [], []
    verdicts: dict[str, str] = {}
    compared: list[Compared] = []
    for name, label in chosen.items():
        again = judged_again(name, label, arguments.work) if arguments.judge_again else None
        known = profiles.get(name) if again is None else kept(profiles, again)
        diagnosed = Diagnosed.from_json(known or kept(profiles, diagnose(name, label, arguments)))
        verdicts[name] = judge(diagnosed, label)
        rows.append(diagnosis_row(diagnosed, label, verdicts[name]))
        say(f"{name:28} {verdicts[name]:14} {' '.join(diagnosed.rules[:SHOWN_FINDINGS])}")
        if arguments.fixes and not label.get("healthy"):
            fixed = Fixed.from_json(fixes.get(name) or kept(fixes, measure_fix(name, label, arguments)))
            row, against = fix_row(diagnosed, fixed, label)
            fix_rows.append(row)
            compared += [] if against is None else [against]
            say(f"{'':28} {row[-1]}: {' '.join(row[2:5])}")

    header = ("script", "label", "first finding", "verdict", "updates", "findings (severity)")
    told = "Profiles of an earlier call, judged by the rules of now. " if arguments.judge_again else ""
    parts = [told + totals(chosen, verdicts), table(header, rows)]
    if fix_rows:
        fix_header = (
            "script",
            "rule",
            "gain of the fix",
            "ceiling",
            "basis",
            "gain / ceiling",
            "others' CPUs",
            "verdict",
        )
        parts += [fixes_summary(len(fix_rows), compared), table(fix_header, fix_rows)]
    is_whole = len(chosen) == len(labels)
    publish("diagnosis", "Diagnosis of the labelled scripts", before, parts, keep=is_whole and not arguments.no_result)


def parsed() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all scripts are run")
    parser.add_argument("--fixes", action="store_true", help="measure each fix, too: a minute a script")
    parser.add_argument("--fresh", action="store_true", help="measure again")
    parser.add_argument("--judge-again", action="store_true", help="today's rules on the profiles that are there")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"advisor-diagnosis-{os.getuid()}")
    parser.add_argument("--seconds", type=float, default=6.0, help="counted in each process of a fix")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of processes for each fix")
    parser.add_argument("--patience", type=int, default=3, help="more pairs at most, where others disturbed")
    parser.add_argument("--by-cpu-time", action="store_true", help="a fix's gain in CPU time, for a machine in use")
    return parser.parse_args()


def is_wanted(name: str, words: Sequence[str]) -> bool:
    return not words or any(word in name for word in words)


def kept(into: Kept, value: Diagnosed | Fixed) -> dict[str, Any]:
    document = asdict(value)
    into.add(document)
    return document


# --- diagnosis ----------------------------------------------------------------------------------------------------


def diagnose(name: str, label: Mapping[str, Any], arguments: Namespace) -> Diagnosed:
    """In a folder of its own: scripts make their data beside themselves. Its runs stay in the work folder."""
    with tempfile.TemporaryDirectory(prefix=f"advisor-{name}-") as project:
        words = [sys.executable, "-m", "advisor", "profile", "--json", "--runs", str(arguments.work / "runs")]
        done = subprocess.run(
            [*words, str(label["path"]), *label["args"]],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        why = done.stderr[-500:] or "no output"
        return Diagnosed(name=name, findings=(), abstained={}, updates=0, failure=why, exit_code=done.returncode)
    return from_document(name, document, exit_code=done.returncode)


def from_document(name: str, document: Mapping[str, Any], *, exit_code: int) -> Diagnosed:
    failure = document.get("failure")
    return Diagnosed(
        name=name,
        findings=tuple(document["findings"]),
        abstained={abstention["rule"]: abstention["why"] for abstention in document["abstained"]},
        updates=(document["steps"] or {}).get("updates", 0),
        failure=None if failure is None else f"{failure['kind']}: {failure['message']}",
        exit_code=exit_code,
        busy=document["busy_machine"] is not None,
    )


def judged_again(name: str, label: Mapping[str, Any], work: Path) -> Diagnosed | None:
    """The newest profile of the script with what the rules say of it now; None where there is none."""
    runs = sorted((work / "runs").glob(f"*-{label['path'].stem}-*"))
    if not runs:
        return None
    profile = run_store.load_profile(runs[-1] / run_store.PROFILE_FILE)
    evidence = assembly.evidence_of(profile)
    found = rules.diagnose(evidence) if evidence is not None else Diagnosis(findings=())
    document = profile_json(replace(profile, findings=found.findings, abstained=found.abstained))
    return from_document(name, json.loads(json.dumps(document)), exit_code=0)


def judge(diagnosed: Diagnosed, label: Mapping[str, Any]) -> str:
    if diagnosed.failure is not None and not diagnosed.findings:
        return "FAILED"
    if label.get("healthy"):
        silent = "NO ANSWER" if len(diagnosed.abstained) >= MOST_ABSTAINED else "right"
        return "FALSE ALARM" if diagnosed.loud else silent
    if not diagnosed.rules:
        return "ABSTAINED" if label["rule"] in diagnosed.abstained else "MISSED"
    if diagnosed.rules[0] == label["rule"]:
        return "right"
    if diagnosed.rules[0] in label.get("also", []):
        return "right (also)"
    return "LATER" if label["rule"] in diagnosed.rules else "WRONG"


def diagnosis_row(diagnosed: Diagnosed, label: Mapping[str, Any], verdict: str) -> list[str]:
    said = [f"{finding['rule']} ({finding['severity']})" for finding in diagnosed.findings]
    if diagnosed.failure is not None:
        said.append(f"failure {' '.join(diagnosed.failure.split())[-160:]}")
    if diagnosed.abstained:
        said.append(f"{len(diagnosed.abstained)} abstained")
    if label.get("rule") in diagnosed.abstained:
        said.append(f"{label['rule']} abstained: {diagnosed.abstained[label['rule']]}")
    expected = "healthy" if label.get("healthy") else " / ".join([label["rule"], *label.get("also", [])])
    first = diagnosed.rules[0] if diagnosed.rules else "–"
    return [diagnosed.name, expected, first, verdict, str(diagnosed.updates), ", ".join(said) or "–"]


def totals(chosen: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, str]) -> str:
    """Return a paragraph for each folder of scripts, and one for all where there are several."""
    folders: dict[Path, list[str]] = {}
    for name, label in chosen.items():
        folders.setdefault(label["path"].parent, []).append(name)
    parts = [(TITLES[folder], names) for folder, names in folders.items()]
    if len(parts) > 1:
        parts.insert(0, ("All", list(chosen)))
    return "\n\n".join(f"{title}. {_counts(names, chosen, verdicts)}" for title, names in parts)


def _counts(names: Sequence[str], labels: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, str]) -> str:
    planted = [verdicts[name] for name in names if not labels[name].get("healthy")]
    healthy = [verdicts[name] for name in names if labels[name].get("healthy")]
    exact, also = planted.count("right"), planted.count("right (also)")
    return (
        f"Planted: {exact + also} of {len(planted)} right ({exact} by the label's rule, {also} by one of `also`)."
        f" Healthy: {healthy.count('right')} of {len(healthy)} without a warning."
    )


# --- fixes --------------------------------------------------------------------------------------------------------


def measure_fix(name: str, label: Mapping[str, Any], arguments: Namespace) -> Fixed:
    compare = importlib.import_module("measure_fix").compare
    try:
        ratios, others = compare(name, label, label["fix"], arguments)
    except SystemExit as end:  # its way to say that a script gave no result: the others go on
        return Fixed(name=name, ratios=(), others_cpus=0.0, failure=str(end))
    return Fixed(name=name, ratios=tuple(ratios), others_cpus=others)


def fix_row(diagnosed: Diagnosed, fixed: Fixed, label: Mapping[str, Any]) -> tuple[list[str], Compared | None]:
    """The table's row, and gain and ceiling compared; None where there is no ceiling."""
    if not fixed.ratios:
        return [diagnosed.name, "–", " ".join((fixed.failure or "").split())[-160:], *["–"] * 4, "FAILED"], None
    gain = statistics.median(fixed.ratios)
    finding = labelled_finding(diagnosed, label)
    ceiling = finding.get("ceiling") if finding is not None else None
    shown = f"{gain:.2f} ({min(fixed.ratios):.2f} … {max(fixed.ratios):.2f})"
    row = [diagnosed.name, finding["rule"] if finding is not None else "–", shown]
    others = f"{fixed.others_cpus:.2f}"
    if ceiling is None:
        return [*row, "–", "–", "–", others, "no ceiling"], None
    of_ceiling = gain / ceiling["speedup"]
    row += [f"{ceiling['speedup']:.2f} ({ceiling['low']:.2f} … {ceiling['high']:.2f})", ceiling["basis"]]
    row += [f"{of_ceiling:.2f}", others]
    width = ceiling["high"] / ceiling["low"]
    if ceiling["low"] <= gain <= ceiling["high"]:
        return [*row, "inside"], Compared(inside=True, of_ceiling=of_ceiling, width=width)
    below = gain < ceiling["low"]
    compared = Compared(inside=False, of_ceiling=of_ceiling, width=width, above=not below)
    return [*row, "BELOW" if below else "ABOVE"], compared


def fixes_summary(rows: int, compared: Sequence[Compared]) -> str:
    text = (
        f"Fixes: {sum(one.inside for one in compared)} of {len(compared)} gains lie inside their ceiling's interval,"
        f" {sum(one.above for one in compared)} above it ({rows - len(compared)} without one). Gain: median (lowest …"
        " highest) of the pairs. A fix need not take all that a finding costs: below its ceiling it shows no error of"
        " the ceiling, above it does."
    )
    if not compared:
        return text
    parts = [one.of_ceiling for one in compared]
    errors = [abs(part - 1) for part in parts]
    return (
        f"{text} Gain over ceiling: median {statistics.median(parts):.2f}, lowest {min(parts):.2f}, highest"
        f" {max(parts):.2f}; the median error, whichever way, is {statistics.median(errors):.0%}. The upper end of a"
        f" ceiling's interval is {statistics.median(one.width for one in compared):.1f} times the lower (median)."
    )


def labelled_finding(diagnosed: Diagnosed, label: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The finding that the fix answers: that of the label's rule, else the first of `also`."""
    for rule in (label["rule"], *label.get("also", [])):
        for finding in diagnosed.findings:
            if finding["rule"] == rule:
                return finding
    return None


if __name__ == "__main__":
    main()
