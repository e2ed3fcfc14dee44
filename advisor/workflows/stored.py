"""Stored runs, loaded as results that show themselves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..types import Profile
from .profile import in_notebook
from .shown import ShownRangeTest, shown_as
from .tune import Tuned
from .tune_learning import Learned


def load_profile(run: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None) -> Profile:
    """Load a stored profile: `latest`, a run's id or its beginning, or the path of a run folder."""
    from ..storage import run_store

    folder = run_store.find_run(os.fspath(run), run_store.runs_root(Path(runs) if runs is not None else None))
    return in_notebook(
        replace(_with_headlines(run_store.load_profile(folder.profile_path)), run_folder=str(folder.path))
    )


def load_run(
    run: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None
) -> Profile | Tuned | Learned | ShownRangeTest:
    """Load a stored run, named as in `load_profile`: a whole search, unless the path of its profile.json is given."""
    from ..storage import run_store
    from ..storage.result_files import LEARNING, RANGE_TEST

    folder = run_store.find_run(os.fspath(run), run_store.runs_root(Path(runs) if runs is not None else None))
    if LEARNING.is_there(folder) and Path(run).name != run_store.PROFILE_FILE:
        return shown_as(Learned, LEARNING.load(folder))
    if RANGE_TEST.is_there(folder):
        return shown_as(ShownRangeTest, RANGE_TEST.load(folder))
    if not folder.has_tune or Path(run).name == run_store.PROFILE_FILE:
        return load_profile(folder.path)
    found = run_store.load_tune(folder.path)
    found = replace(found, profile=_with_headlines(found.profile))
    return shown_as(Tuned, found)


def _with_headlines(found: Profile) -> Profile:
    """Return the profile with the headlines that version 0.1 did not store."""
    from .. import rules

    known = {rule.id: rule for rule in rules.all_rules()}
    findings = (
        replace(finding, headline=finding.headline or known[finding.rule].headline_for(finding.library))
        if finding.rule in known
        else finding
        for finding in found.findings
    )
    return replace(found, findings=tuple(findings))
