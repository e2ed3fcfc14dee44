"""Our own settings file, `advisor.yaml`: of a stored run, or the same file again."""

from __future__ import annotations

from ..advisor_yaml import plain_text
from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    draft.take_all()
    return draft.document.text or plain_text(draft.document)


EMITTER = Emitter(
    id="advisor",
    title="settings file of advisor",
    file_name="advisor.yaml",
    usage="advisor run --config advisor.yaml {command}",
    emit=_emit,
    starts_script=True,
    sets_constants=True,
)
