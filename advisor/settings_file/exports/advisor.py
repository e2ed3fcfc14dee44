"""Our own settings file, `advisor.yaml`: of a stored run, or the same file again."""

from __future__ import annotations

from ...redaction import Redactor
from ..advisor_yaml import plain_text
from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    draft.take_all()
    text = draft.document.text
    # A file that version 0.2 wrote with secrets in its comments is written without them.
    return text if text and Redactor().text(text) == text else plain_text(draft.document)


EMITTER = Emitter(
    id="advisor",
    title="settings file of advisor",
    file_name="advisor.yaml",
    usage="advisor run --config advisor.yaml {command}",
    emit=_emit,
    starts_script=True,
    sets_constants=True,
)
