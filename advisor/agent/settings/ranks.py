"""Processes that train together: how this one finds the others, agrees with them, and leaves them."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from ...refused import Refused

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Variable of gloo. It would look up the machine's name otherwise, which some containers cannot."""
LONGEST_WAIT = datetime.timedelta(minutes=30)
"""Limit for a collective: another process may download, compile or evaluate meanwhile. It is torch's own."""
DIVERGED = 97
"""Exit code of processes that no longer train the same model."""


class Ranks:
    """Place of this process among those that advisor has started for one training."""

    def __init__(
        self, rank: int = 0, size: int = 1, meeting: str = "", why_alone: str = "", joins_after: int = 0
    ) -> None:
        self.rank = rank
        self.size = size
        self.why_alone = why_alone
        self.joins_after = joins_after
        """Updates after which the ranks join."""
        self._meeting = meeting
        self._told_at = 0
        self._group: Any = None
        """Group for what is not gradients: their order must not depend on when a loader is read."""
        self.connected = False

    def connect(self, device: str) -> None:
        """Find the others, by a file that all see. Raises Refused if the script has a process group of its own."""
        import torch
        import torch.distributed as dist

        if self.connected:
            return
        if not dist.is_available():
            raise Refused("torch was built without torch.distributed")
        if dist.is_initialized():
            raise Refused("the script has started a process group of its own: run it with torchrun")
        with _local_interface(), _own_excepthook():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
                init_method=f"file://{self._meeting}",
                rank=self.rank,
                world_size=self.size,
                timeout=LONGEST_WAIT,
            )
            # Another group of gloo's has a thread of its own, which takes time from the training on few CPUs.
            self._group = dist.new_group(backend="gloo", timeout=LONGEST_WAIT) if device == "cuda" else None
        self.connected = True
        assert torch.distributed.get_world_size() == self.size

    def gather(self, value: Any) -> list[Any]:
        """Return what all ranks pass, in their order. Every rank must call this."""
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._group)
        return found

    def first_of(self, value: Any) -> Any:
        """Return what the first rank passes."""
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0, group=self._group)
        return held[0]

    def agree(self, why_not: str | None) -> None:
        """Raise Refused on every rank if one of them has a reason."""
        reasons = [reason for reason in self.gather(why_not) if reason]
        if reasons:
            raise Refused(reasons[0])

    def part(self) -> None:
        """Leave the others: the first rank continues alone, and this is the end of any other."""
        self.close()
        if self.rank:
            self.end(0)
        self.size = 1

    def tell(self, settings: dict[str, Any]) -> None:
        """Tell the other ranks what the first one has set; they have not ended the update that follows this one."""
        if self.size > 1 and self.connected:
            with open(f"{self._meeting}.new", "w") as file:
                json.dump(settings, file)
            os.replace(f"{self._meeting}.new", f"{self._meeting}.settings")

    def told(self) -> dict[str, Any] | None:
        """Return what the first rank has set since the last call; None if nothing has changed."""
        if not self.rank:
            return None
        try:
            changed = os.stat(f"{self._meeting}.settings").st_mtime_ns
            if changed == self._told_at:
                return None
            with open(f"{self._meeting}.settings") as file:
                settings = json.load(file)
        except (OSError, ValueError):
            return None
        self._told_at = changed
        return dict(settings)

    def crashed(self, error: BaseException) -> None:
        """Leave a note of the script's exception beside the meeting point: its time tells which rank failed first."""
        if self.size > 1 and self._meeting:
            with contextlib.suppress(OSError), open(f"{self._meeting}.crashed-{self.rank}", "w") as file:
                file.write(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Leave the process group, if this process is in one of ours."""
        if not self.connected:
            return
        import torch.distributed as dist

        self.connected = False
        with contextlib.suppress(Exception):  # the others may be gone
            dist.destroy_process_group()

    @staticmethod
    def end(code: int) -> NoReturn:
        """End this process at once: no `except`, `finally` or atexit code saves what was trained wrongly."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def give_of_first(tensors: Iterable[Any]) -> None:
    """Give every rank the values that these tensors have on the first one. Every rank must call this."""
    import torch
    import torch.distributed as dist

    with torch.no_grad():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


@contextlib.contextmanager
def _own_excepthook() -> Iterator[None]:
    """Keep the script's excepthook, in whose place torch puts one that writes the rank before every line."""
    hook = sys.excepthook
    try:
        yield
    finally:
        sys.excepthook = hook


@contextlib.contextmanager
def _local_interface() -> Iterator[None]:
    """Let gloo use the interface within this machine, unless the user has named one."""
    if INTERFACE in os.environ or not os.path.isdir("/sys/class/net/lo"):
        yield
        return
    os.environ[INTERFACE] = "lo"
    try:
        yield
    finally:
        del os.environ[INTERFACE]
