"""What `advisor --help` pays for this part: next to nothing."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_part_loads_nothing_heavy() -> None:
    code = (
        "import sys, advisor.report.format, advisor.report.json_contract\n"
        "import advisor.storage.run_store, advisor.stats, advisor.progress\n"
        "print([name for name in ('rich', 'jinja2', 'pydantic', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
