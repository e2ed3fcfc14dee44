"""Connections that the script opens to other machines: isolation of the files cannot undo their effects.

`socket.socket.connect` is patched. An audit hook would see the same, but it also runs on every `id()` and every frame
access: it made `copy.deepcopy` 1.8 times as slow.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from ..base.channel import AgentChannel
from ..base.imports import when_imported
from ..base.pass_through import stands_for

MOST_NOTES = 10
MOST_NAMES = 1000
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group at the other end of a Unix socket."""


def watch(channel: AgentChannel) -> None:
    """Report each host and port, and each Unix socket, once. This covers Python's own sockets (not gRPC's)."""
    when_imported("socket", lambda module: _patch(module, channel, _has_namespace()))


def _patch(module: Any, channel: AgentChannel, in_namespace: bool) -> None:
    noted: set[str] = set()
    names: dict[str, str] = {}
    internet = (module.AF_INET, module.AF_INET6)
    unix = module.AF_UNIX if hasattr(module, "SO_PEERCRED") else None
    own_ports: set[int] = set()

    def note(place: str) -> None:
        if len(noted) < MOST_NOTES and place not in noted:
            noted.add(place)
            channel.note("network", place)

    def note_remote(address: Any) -> None:
        if _is_remote(address):
            note(f"{names.get(address[0], address[0])}:{address[1]}")

    def note_local(address: object) -> None:
        """Report a local service that answered (say, a database): its changes cannot be undone either."""
        if isinstance(address, tuple) and len(address) >= 2 and address[1] not in own_ports:
            note(f"{address[0]}:{address[1]}")

    def note_service(connected: Any, address: object) -> None:
        """Report what another program offers by a Unix socket (a database, a container engine)."""
        credentials = connected.getsockopt(module.SOL_SOCKET, module.SO_PEERCRED, _CREDENTIALS.size)
        if not _is_own(_CREDENTIALS.unpack(credentials)[0], in_namespace):
            name = os.fsdecode(address) if isinstance(address, (str, bytes)) else str(address)
            note(f"the Unix socket {name.replace(chr(0), '@')}")

    def connecting(original: Any) -> object:
        @stands_for(original, in_c=True)
        def connect(self: Any, address: object) -> object:
            if self.family in internet:
                note_remote(address)
            result = original(self, address)
            if self.family in internet and not result and not _is_remote(address):
                note_local(address)
            elif self.family == unix and not result:
                note_service(self, address)
            return result

        return connect

    listening = module.socket.listen

    @stands_for(listening, in_c=True)
    def listen(self: Any, *args: object) -> object:
        result = listening(self, *args)
        if self.family in internet:
            own_ports.add(self.getsockname()[1])  # the script talking to itself leaves nothing behind
        return result

    look_up = module.getaddrinfo

    @stands_for(look_up, in_c=True)
    def getaddrinfo(host: object, port: object, *args: object, **kwargs: object) -> object:
        try:
            found = look_up(host, port, *args, **kwargs)
        except module.gaierror:
            # No network, perhaps due to isolation: report the attempt anyway.
            if port:
                note_remote((host, port))
            raise
        if isinstance(host, str) and len(names) < MOST_NAMES:
            names.update({entry[4][0]: host for entry in found})
        return found

    module.socket.connect = connecting(module.socket.connect)
    module.socket.listen = listen
    module.socket.connect_ex = connecting(module.socket.connect_ex)
    module.getaddrinfo = getaddrinfo


def _has_namespace() -> bool:
    """Return True below the keeper's process 1, where every process with a number is the script's own."""
    try:
        with open("/proc/1/cmdline", "rb") as file:
            return b"/isolation/keeper.py" in file.read()
    except OSError:
        return False


def _is_own(pid: int, in_namespace: bool) -> bool:
    """Return True if a process belongs to the script; those outside of its namespace have no number in it."""
    if pid <= 0 or in_namespace:
        return pid > 0
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return False


def _is_remote(address: object) -> bool:
    if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
        return False
    host = address[0].partition("%")[0]
    return not (host in ("", "localhost", "::1", "::", "0.0.0.0") or host.startswith(("127.", "::ffff:127.")))
