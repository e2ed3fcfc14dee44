"""Words of gloo, NCCL and torch's store for a rank whose partner is gone: its error follows another one's."""

from __future__ import annotations

import re

_WORDS = re.compile(
    r"closed by peer|reset by peer|broken pipe|remote process exited|connection was (?:likely )?(?:closed|lost)|"
    r"socket (?:closed|timeout)|failed to (?:recv|send)|recvbytes|sendbytes|store.*(?:closed|timed? ?out)|watchdog|"
    r"gloo/|nccl error",
    re.IGNORECASE,
)


def says_so(error: str) -> bool:
    """Return whether this error only says that another rank is no longer there."""
    return _WORDS.search(error) is not None
