"""The controller's end of the socket, against real connections."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor import wire
from advisor.runtime.channel import BadLine, ControllerChannel, Disconnected, parse

WAIT_S = 5.0


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[ControllerChannel]:
    with ControllerChannel(tmp_path) as opened:
        yield opened


def connect(
    channel: ControllerChannel,
    token: str | None = None,
    version: int = wire.WIRE_VERSION,
    received: int = 0,
    number: int = 0,
) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(channel.path))
    connection.settimeout(WAIT_S)
    token = channel.token if token is None else token
    hello = wire.Hello(version=version, token=token, pid=1, rank=0, received=received, connection=number)
    connection.sendall(wire.encode(hello))
    return connection


def test_messages_come_out_as_they_went_in(channel: ControllerChannel) -> None:
    with connect(channel) as agent:
        assert isinstance(channel.receive(WAIT_S), wire.Hello)
        beat = wire.Beat(rank=0, updates=3, events=12)
        agent.sendall(wire.encode(beat))
        assert channel.receive(WAIT_S) == beat


def test_a_plan_reaches_the_agent(channel: ControllerChannel) -> None:
    with connect(channel) as agent:
        channel.receive(WAIT_S)
        plan = wire.Plan([wire.Window(id="a", config={"num_workers": 2})], final=True)
        channel.send(plan)
        assert wire.decode_to_agent(agent.recv(65536)) == plan


def test_a_wrong_token_is_turned_away(channel: ControllerChannel) -> None:
    with connect(channel, token="guess"):
        refused = channel.receive(WAIT_S)
    assert isinstance(refused, BadLine)
    assert "token" in refused.reason


def test_an_agent_of_another_version_is_turned_away(channel: ControllerChannel) -> None:
    with connect(channel, version=999):
        refused = channel.receive(WAIT_S)
    assert isinstance(refused, BadLine)
    assert "999" in refused.reason


def test_the_end_of_a_rank_is_told(channel: ControllerChannel) -> None:
    connect(channel).close()
    assert isinstance(channel.receive(WAIT_S), wire.Hello)
    assert channel.receive(WAIT_S) == Disconnected(rank=0)


def test_a_rank_that_connects_anew_is_sent_again_what_it_had_not_read(channel: ControllerChannel) -> None:
    with connect(channel) as first:
        channel.receive(WAIT_S)
        channel.send(wire.Plan([]))
        channel.send(wire.Stop("deadline"))
        with connect(channel, received=1) as second:
            assert isinstance(channel.receive(WAIT_S), wire.Hello)
            first.close()
            assert wire.decode_to_agent(second.recv(65536)) == wire.Stop("deadline")
            beat = wire.Beat(rank=0, updates=3, events=12)
            second.sendall(wire.encode(beat))
            assert channel.receive(WAIT_S) == beat  # the end of the first connection is none of the rank's
            channel.send(wire.Plan([], final=True))
            assert wire.decode_to_agent(second.recv(65536)) == wire.Plan([], final=True)


def test_an_earlier_connection_that_is_greeted_last_takes_nothing_from_the_later_one(
    channel: ControllerChannel,
) -> None:
    with connect(channel) as first, connect(channel, number=2) as latest:
        assert {type(channel.receive(WAIT_S)) for _ in range(2)} == {wire.Hello}
        with connect(channel, number=1):
            assert isinstance(channel.receive(WAIT_S), wire.Hello)
        first.close()
        channel.send(wire.Stop("deadline"))
        assert wire.decode_to_agent(latest.recv(65536)) == wire.Stop("deadline")
        assert channel.receive(0.2) is None  # neither end is the rank's


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'{"type":"Plan","windows":[]}\n',
        b'{"type":"Beat","rank":0,"updates":"many","events":1}\n',
        b'{"type":"Beat","rank":0}\n',
        b'{"type":"Nonsense"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_message_is_told_and_ends_the_connection(channel: ControllerChannel, line: bytes) -> None:
    with connect(channel) as agent:
        channel.receive(WAIT_S)
        agent.sendall(line)
        assert isinstance(channel.receive(WAIT_S), BadLine)
        assert channel.receive(WAIT_S) == Disconnected(rank=0)


def test_a_path_longer_than_an_address_holds(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with ControllerChannel(deep) as opened:
        assert opened.path.is_socket()


def test_numbers_that_json_does_not_have_become_null() -> None:
    encoded = wire.encode(wire.Note(rank=0, kind="x", text="y"))
    assert json.loads(encoded)["type"] == "Note"
    window = wire.WindowRefused(0, "a", "nan", "loss")
    assert parse(wire.encode(window)) == window


def test_only_the_owner_may_connect(channel: ControllerChannel) -> None:
    assert channel.path.stat().st_mode & 0o777 == 0o600


def rank(channel: ControllerChannel, number: int, of: int) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(channel.path))
    connection.settimeout(WAIT_S)
    hello = wire.Hello(version=wire.WIRE_VERSION, token=channel.token, pid=1, rank=number, world_size=of)
    connection.sendall(wire.encode(hello))
    assert isinstance(channel.receive(WAIT_S), wire.Hello)
    return connection


def received(connection: socket.socket) -> object:
    with connection.makefile("rb") as lines:
        return wire.decode_to_agent(lines.readline())


def test_orders_of_rank_0_reach_the_others_even_those_that_come_late(channel: ControllerChannel) -> None:
    order = wire.RankOrder("enter", window=wire.Window(id="first", role=wire.WindowRole.TRIAL))
    with rank(channel, 0, of=3) as leader, rank(channel, 1, of=3) as follower:
        leader.sendall(wire.encode(order))
        assert received(follower) == order
        with rank(channel, 2, of=3) as late:
            assert received(late) == order
        answer = wire.RankAnswer(rank=1, refusal="no loader")
        follower.sendall(wire.encode(answer))
        assert received(leader) == answer


def test_the_plan_is_for_rank_0_alone_and_only_that_one_leads(channel: ControllerChannel) -> None:
    with rank(channel, 0, of=2) as leader, rank(channel, 1, of=2) as follower:
        follower.sendall(wire.encode(wire.RankOrder("leave")))
        follower.sendall(wire.encode(wire.Idle(rank=1, updates=1)))
        assert channel.receive(WAIT_S) == wire.Idle(rank=1, updates=1)
        channel.send(wire.Plan([], final=True))
        assert received(leader) == wire.Plan([], final=True)
        follower.settimeout(0.2)
        with pytest.raises(TimeoutError):
            follower.recv(1)
