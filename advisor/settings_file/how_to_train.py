"""Commands in the comments of `advisor.yaml`: how to train with its settings."""

from __future__ import annotations

import shlex

FILE_NAME = "advisor.yaml"
"""Name in the comments of a file that is not written yet."""


def renamed(text: str, name: str) -> str:
    """Return the text of a file for another name than `advisor.yaml`, which the commands in its comments hold."""
    return "\n".join(
        line.replace(f"--config {FILE_NAME} ", f"--config {shlex.quote(name)} ").replace(
            f'("{FILE_NAME}")', f'("{name}")'
        )
        if line.startswith("#")
        else line
        for line in text.split("\n")
    )


def how_to_train(command: str, is_function: bool, begin: str) -> list[str]:
    """Return the comment lines on applying the settings, after the words of `begin`; `command` stands in a comment."""
    if is_function:
        return [f"{begin} Before the function is called:", "#", f'#     advisor.apply("{FILE_NAME}")']
    run = f"advisor run --config {FILE_NAME} {command}"
    return [f"{begin} Train with these settings; the script is not edited:", "#", f"#     {run}"]
