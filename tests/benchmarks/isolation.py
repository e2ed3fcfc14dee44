"""What 57 ways of writing change outside each level of isolation, as this user and, from root, as a plain one.

    python tests/benchmarks/isolation.py

Every way writes to the project by a relative and by an absolute path, and to a folder beside it. Run as root it needs
`unshare` and `setpriv` (util-linux) for the plain user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import _ways
from _common import HERE, machine, one_line, options, publish, say, table
from ways_of_writing import WAYS

from advisor.errors import IsolationError
from advisor.runtime.isolation.promises import Level

sys.path.insert(0, str(HERE.parent))
from runtime.plain_user import as_plain_user

LIMIT_S = 600
Answer = list[_ways.Outcome] | str
"""What the ways did, or why the level cannot be had."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--as-json", action="store_true", help="print what this user's runs gave, and nothing else")
    arguments = parser.parse_args()
    if arguments.as_json:
        found = {level.name: _answer(level) for level in Level}
        plain = {name: one if isinstance(one, str) else _ways.plain(one) for name, one in found.items()}
        print(json.dumps(plain))
        return
    before = machine()
    users = {"root" if os.getuid() == 0 else "a plain user": {level: _answer(level) for level in Level}}
    if os.getuid() == 0:
        users["a plain user"] = _as_plain_user()
    publish("isolation", "Ways of writing", before, _parts(users), keep=not arguments.no_result)


def _answer(level: Level) -> Answer:
    try:
        found = _ways.outcomes(level)
    except IsolationError as error:
        return one_line(error)
    say(f"{level.value}: {sum(one.changed for one in found)} of {len(found)} changed a file outside")
    return found


def _as_plain_user() -> dict[Level, Answer]:
    with tempfile.TemporaryDirectory(prefix="advisor-user-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        home = Path(name) / "home"
        home.mkdir()
        command, environment = as_plain_user([sys.executable, __file__, "--as-json"], home)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        return dict.fromkeys(Level, f"a plain user could not run it (exit {done.returncode})")
    found = json.loads(done.stdout)
    return {
        level: found[level.name]
        if isinstance(found[level.name], str)
        else [_ways.Outcome(**one) for one in found[level.name]]
        for level in Level
    }


def _parts(users: dict[str, dict[Level, Answer]]) -> list[str]:
    parts = [
        f"{len(WAYS)} ways of writing, each in {len(_ways.PLACES)} places: {', '.join(_ways.PLACES)}. A file counts as "
        "changed if its content, name, mode, owner, time or attributes differ afterwards, and as reported "
        "if advisor's report names the change. Cells hold one word for all places, or a word for each."
    ]
    for user, levels in users.items():
        parts += [f"## As {user}", _totals(levels), _by_way(levels)]
    return parts


def _totals(levels: dict[Level, Answer]) -> str:
    rows: list[Sequence[object]] = []
    for level, found in levels.items():
        if isinstance(found, str):
            rows.append([level.value, f"not available: {found}", "", "", ""])
            continue
        changed = [one for one in found if one.changed]
        rows.append(
            [
                level.value,
                len(found),
                *(
                    f"{sum(not one.trouble for one in found if one.place == place)} of {len(WAYS)}"
                    for place in (_ways.PLACES[0], _ways.PLACES[2])
                ),
                len(changed),
                sum(not one.reported for one in changed),
            ]
        )
    header = ["level", "tried", "worked in the project", "worked elsewhere", "changed a file", "without a report"]
    return table(header, rows)


def _by_way(levels: dict[Level, Answer]) -> str:
    tried = {level: found for level, found in levels.items() if not isinstance(found, str)}
    rows = [[way, *(_cell([one for one in found if one.way == way]) for found in tried.values())] for way in WAYS]
    return table(["way", *(level.value for level in tried)], rows)


def _cell(found: list[_ways.Outcome]) -> str:
    words = [("reported" if one.reported else "changed") if one.changed else "kept" for one in found]
    works = not next(one for one in found if one.place == _ways.PLACES[0]).trouble
    return (words[0] if len(set(words)) == 1 else " / ".join(words)) + ("" if works else ", does not work")


if __name__ == "__main__":
    main()
