"""Experiment trackers in a probe: offline, so that measuring leaves nothing on a server and asks for no login."""

from __future__ import annotations

from .channel import AgentChannel


def put_offline(channel: AgentChannel) -> None:
    """Sets what the trackers read, before the script runs."""
