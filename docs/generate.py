"""Makes the pages of the site from what the package itself says: README, one page a rule, a knob and a function."""

from __future__ import annotations

import re
from pathlib import Path

import mkdocs_gen_files

import advisor
from advisor import knobs, rules

ROOT = Path(__file__).parents[1]
FUNCTIONS = sorted(name for name in advisor.__all__ if callable(getattr(advisor, name)))


def page(name: str, *parts: str) -> None:
    with mkdocs_gen_files.open(name, "w") as file:
        file.write("\n\n".join(parts) + "\n")


def without_outside_links(text: str) -> str:
    """Files of the checkout are no pages of the site: what names them stays, the link goes."""
    return re.sub(r"!?\[([^\]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)


for file, name in (("README", "index"), ("ARCHITECTURE", "architecture"), ("CONTRIBUTING", "contributing")):
    page(f"{name}.md", without_outside_links((ROOT / f"{file}.md").read_text(encoding="utf-8")))
page("changelog.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))

for rule in rules.all_rules():
    page(f"rules/{rule.id}.md", f"# {rule.id}", f"```text\n{rules.explain(rule)}\n```")
for knob in knobs.all_knobs():
    page(f"knobs/{knob.id}.md", f"# {knob.id}", f"```text\n{knobs.explain(knob)}\n```")
for name in FUNCTIONS:
    target = "advisor.api.hardware" if name == "hardware" else f"advisor.api.{name}"
    page(f"python/{name}.md", f"# advisor.{name}", f"::: {target}")
