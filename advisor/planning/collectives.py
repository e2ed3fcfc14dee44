"""Time of collective operations: bandwidth and latency of the links, as a ring and as a tree.

A ring over several machines enters each of them once on every adapter, so its slowest link is the smaller of a
device's link and of the adapters of all its members on a machine together (NCCL's rings, one for each adapter).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class Group:
    """Devices that communicate: `members` in all, `near` of them on each machine."""

    members: int
    near: int

    @property
    def machines(self) -> int:
        return max(1, math.ceil(self.members / self.near))


def group(cluster: Cluster, members: int, stride: int) -> Group:
    """Return the group of every `stride`-th device; devices of a machine have consecutive numbers."""
    near = max(1, min(members, cluster.device.per_machine // max(1, stride)))
    return Group(members=members, near=near)


def gather_s(cluster: Cluster, among: Group, size_bytes: float) -> float:
    """Return the time to gather `size_bytes` (all shards together), or to reduce and scatter them, in a ring."""
    if among.members < 2 or not size_bytes:
        return 0.0
    part = (among.members - 1) / among.members
    return part * size_bytes / _bytes_per_s(cluster, among) + _ring_latency_s(cluster, among)


def all_reduce_s(cluster: Cluster, among: Group, size_bytes: float) -> float:
    """Return the time to sum `size_bytes` over the group, by a ring or by a tree, whichever is faster."""
    if among.members < 2 or not size_bytes:
        return 0.0
    moved_s = 2 * size_bytes / _bytes_per_s(cluster, among)
    ring_s = moved_s * (among.members - 1) / among.members + 2 * _ring_latency_s(cluster, among)
    return min(ring_s, moved_s + 2 * _tree_latency_s(cluster, among))


def send_s(cluster: Cluster, size_bytes: float, *, near: bool) -> float:
    """Return the time of a message from one device to another, on the same machine or not."""
    if near:
        return size_bytes / cluster.link_bytes_per_s + cluster.achieved.link_latency_s
    return size_bytes / cluster.network_bytes_per_s + cluster.achieved.network_latency_s


def _bytes_per_s(cluster: Cluster, among: Group) -> float:
    if among.machines == 1:
        return cluster.link_bytes_per_s
    entering = among.near * cluster.network_bytes_per_s
    return min(cluster.link_bytes_per_s, entering) if among.near > 1 else entering


def _ring_latency_s(cluster: Cluster, among: Group) -> float:
    crossing = among.machines if among.machines > 1 else 0
    inside = among.members - 1 - (crossing - 1 if crossing else 0)
    return inside * cluster.achieved.link_latency_s + max(0, crossing - 1) * cluster.achieved.network_latency_s


def _tree_latency_s(cluster: Cluster, among: Group) -> float:
    depth = math.ceil(math.log2(among.machines)) if among.machines > 1 else 0
    return (among.near - 1) * cluster.achieved.link_latency_s + depth * cluster.achieved.network_latency_s
