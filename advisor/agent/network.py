"""Connections that the script opens to other machines: a throw-away view of the files cannot undo what they do.

`socket.socket.connect` is patched. An audit hook would see the same, but it is called for every `id()` and every look
at a frame as well: it made `copy.deepcopy` 1.8 times as slow.
"""

from __future__ import annotations

import functools
from typing import Any

from .channel import AgentChannel
from .imports import when_imported

MOST_NOTES = 10


def watch(channel: AgentChannel) -> None:
    """Tells each host and port once. Sees what goes through Python's own sockets (not gRPC's or libcurl's)."""
    when_imported("socket", lambda module: _patch(module, channel))


def _patch(module: Any, channel: AgentChannel) -> None:
    told: set[str] = set()
    internet = (module.AF_INET, module.AF_INET6)

    def tell(connection: Any, address: Any) -> None:
        if connection.family not in internet or len(told) >= MOST_NOTES or not _is_remote(address):
            return
        place = f"{address[0]}:{address[1]}"
        if place not in told:
            told.add(place)
            channel.note("network", place)

    for name in ("connect", "connect_ex"):
        setattr(module.socket, name, _noticed(getattr(module.socket, name), tell))


def _noticed(original: Any, tell: Any) -> Any:
    @functools.wraps(original)
    def connect(self: Any, address: Any) -> Any:
        tell(self, address)
        return original(self, address)

    return connect


def _is_remote(address: Any) -> bool:
    if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
        return False
    host = address[0].partition("%")[0]
    return not (host in ("", "localhost", "::1", "::", "0.0.0.0") or host.startswith(("127.", "::ffff:127.")))
