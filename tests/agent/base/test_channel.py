"""The agent's end of the socket, against a real one."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.agent.base import channel as channels
from advisor.agent.base.channel import EXIT_NO_CONTROLLER, HIGH_DESCRIPTOR, AgentChannel
from advisor.wire import Beat, Note, Plan, Stop, Window, encode

LIMIT_S = 60


class Other:
    """The controller's end."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(LIMIT_S)
        self.path = str(path)

    def accept(self) -> socket.socket:
        connection, _ = self._listening.accept()
        connection.settimeout(LIMIT_S)
        return connection

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    end = Other(tmp_path / "s")
    yield end
    end.close()


@pytest.fixture
def pair(other: Other) -> Iterator[tuple[AgentChannel, socket.socket]]:
    channel = AgentChannel.connect(other.path, "secret")
    connection = other.accept()
    yield channel, connection
    channel.close()
    connection.close()


def lines(connection: socket.socket, count: int) -> list[dict[str, object]]:
    with connection.makefile("rb") as file:
        return [json.loads(file.readline()) for _ in range(count)]


def test_hello_comes_first(pair: tuple[AgentChannel, socket.socket]) -> None:
    _, connection = pair
    (hello,) = lines(connection, 1)
    assert (hello["type"], hello["token"], hello["pid"]) == ("Hello", "secret", os.getpid())


def test_the_rank_comes_from_the_launcher(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    channel = AgentChannel.connect(other.path, "secret")
    with other.accept() as connection:
        (hello,) = lines(connection, 1)
        channel.close()
    assert (hello["rank"], hello["world_size"], channel.rank) == (3, 4, 3)


def test_a_rank_that_is_no_number_is_left_alone(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "first")
    channel = AgentChannel.connect(other.path, "secret")
    channel.close()
    assert channel.rank == 0


def test_nothing_has_come(pair: tuple[AgentChannel, socket.socket]) -> None:
    assert pair[0].poll() == []


def test_what_has_come_is_given_in_order(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    plan = Plan(windows=[Window(id="a"), Window(id="b", config={"precision": "bf16"})], final=True)
    connection.sendall(encode(plan) + encode(Stop(reason="enough")))
    assert channel.wait(LIMIT_S) == [plan, Stop(reason="enough")]


def test_a_message_in_pieces_is_put_together(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    line = encode(Stop(reason="enough"))
    connection.sendall(line[:9])
    assert channel.wait(0.05) == []
    connection.sendall(line[9:])
    assert channel.wait(LIMIT_S) == [Stop(reason="enough")]


def test_waiting_ends(pair: tuple[AgentChannel, socket.socket]) -> None:
    assert pair[0].wait(0.01) == []


def test_waiting_ends_when_the_controller_goes(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    connection.close()
    assert channel.wait(LIMIT_S) == []
    assert channel.closed


def test_a_controller_that_has_gone_is_noticed_by_a_look(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    connection.close()
    channel.poll()
    assert channel.closed


def test_sending_to_nobody_raises_nothing(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    connection.close()
    for _ in range(3):
        channel.send(Beat(rank=0, updates=1, events=1))
    assert channel.closed


def test_an_unreadable_message_ends_the_connection(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    connection.sendall(b'{"type": "Nonsense"}\n')
    assert channel.wait(LIMIT_S) == []
    assert channel.closed


def test_a_large_message_arrives_whole(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    text = "x" * 5_000_000
    sender = threading.Thread(target=channel.send, args=(Note(rank=0, kind="k", text=text),))
    sender.start()
    _, note = lines(connection, 2)
    sender.join(LIMIT_S)
    assert note["text"] == text


def test_threads_do_not_mix_their_lines(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    text = "y" * 10_000

    def send(number: int) -> None:
        for _ in range(50):
            channel.send(Note(rank=number, kind="k", text=text))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    notes = lines(connection, 201)[1:]
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(note["rank"] for note in notes) == sorted([0, 1, 2, 3] * 50)  # type: ignore[type-var]


def test_a_signal_handler_may_send_while_a_message_is_being_sent(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    previous = signal.signal(signal.SIGALRM, lambda *_: channel.send(Note(rank=1, kind="handler", text="")))
    received: list[dict[str, object]] = []

    def read_late() -> None:
        time.sleep(0.3)
        received.extend(lines(connection, 3))

    reader = threading.Thread(target=read_late)
    reader.start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        channel.send(Note(rank=0, kind="large", text="z" * 3_000_000))
        channel.flush(LIMIT_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    reader.join(LIMIT_S)
    assert [message.get("kind") for message in received] == [None, "large", "handler"]


def test_nan_becomes_null(pair: tuple[AgentChannel, socket.socket]) -> None:
    from advisor.wire import Goodbye

    channel, connection = pair
    channel.send(Goodbye(rank=0, reason="finished", updates=1, first_update_s=float("nan")))
    assert lines(connection, 2)[1]["first_update_s"] is None


def test_a_path_too_long_for_a_socket_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    other = Other(Path("s"))
    channel = AgentChannel.connect(str(folder / "s"), "secret")
    other.accept().close()
    other.close()
    assert not channel.closed
    channel.close()


def test_the_descriptor_is_out_of_the_scripts_way(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, _ = pair
    assert channel._connection is not None
    assert channel._connection.fileno() >= HIGH_DESCRIPTOR


def close_as_the_script_does(channel: AgentChannel) -> int:
    assert channel._connection is not None
    os.close(channel._connection.fileno())
    return channel._connection.fileno()


def test_one_that_the_script_closes_while_it_opens_is_opened_at_the_next_message(
    other: Other, pair: tuple[AgentChannel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_at_once(_path: str) -> socket.socket:
        raise OSError(errno.EBADF, "the script has closed it")

    channel, _first = pair
    close_as_the_script_does(channel)
    with monkeypatch.context() as closing:
        closing.setattr(channels, "_connected", closed_at_once)
        channel.note("kind", "kept")
        assert channel.poll() == []
    channel.note("kind", "then")
    with other.accept() as again:
        assert [line.get("text") for line in lines(again, 3)] == [None, "kept", "then"]


def test_a_connection_that_the_script_closes_is_opened_again(
    other: Other, pair: tuple[AgentChannel, socket.socket]
) -> None:
    channel, first = pair
    first.sendall(encode(Stop(reason="read")))
    assert channel.wait(LIMIT_S) == [Stop(reason="read")]
    close_as_the_script_does(channel)
    channel.send(Beat(rank=0, updates=7, events=8))
    with other.accept() as again:
        hello, beat = lines(again, 2)
        assert (hello["type"], hello["token"], hello["received"], beat["updates"]) == ("Hello", "secret", 1, 7)
        again.sendall(encode(Stop(reason="enough")))
        assert channel.wait(LIMIT_S) == [Stop(reason="enough")]
    assert [line["type"] for line in lines(first, 1)] == ["Hello"]


def test_a_look_opens_it_again_too(other: Other, pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, _ = pair
    close_as_the_script_does(channel)
    assert (channel.poll(), channel.closed) == ([], False)
    with other.accept() as again:
        again.sendall(encode(Stop(reason="enough")))
        assert channel.wait(LIMIT_S) == [Stop(reason="enough")]


def test_a_file_of_the_script_under_our_number_is_left_alone(
    other: Other, pair: tuple[AgentChannel, socket.socket], tmp_path: Path
) -> None:
    channel, _ = pair
    number = close_as_the_script_does(channel)
    with (tmp_path / "own").open("w+b") as file:
        os.dup2(file.fileno(), number)
        try:
            channel.send(Beat(rank=0, updates=7, events=8))
            other.accept().close()
            channel.close()
            assert (os.fstat(number).st_ino, file.read()) == (os.fstat(file.fileno()).st_ino, b"")
        finally:
            os.close(number)


def test_a_connection_that_cannot_be_opened_again_is_lost(
    other: Other, pair: tuple[AgentChannel, socket.socket]
) -> None:
    channel, _ = pair
    other.close()
    close_as_the_script_does(channel)
    channel.send(Beat(rank=0, updates=7, events=8))
    assert channel.closed


def test_a_started_program_does_not_inherit_the_connection(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, _ = pair
    assert channel._connection is not None
    code = f"import os\ntry: os.fstat({channel._connection.fileno()})\nexcept OSError: print('closed')"
    done = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=True)
    assert done.stdout == "closed\n"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_neither_sends_nor_holds_the_connection(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    release_read, release_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release_write)
        channel.send(Note(rank=9, kind="from the child", text=""))
        channel.poll()
        os.read(release_read, 1)  # still here when the parent has closed its end
        os._exit(0 if channel.closed else 1)
    os.close(release_read)
    channel.close()
    received = b""
    while part := connection.recv(65536):  # ends only if no process holds the other end
        received += part
    os.close(release_write)
    assert os.waitpid(child, 0)[1] == 0
    assert b"from the child" not in received


def test_without_a_controller_the_channel_is_closed(tmp_path: Path) -> None:
    channel = AgentChannel.connect(str(tmp_path / "nobody"), "secret")
    channel.send(Beat(rank=0, updates=0, events=0))
    assert (channel.closed, channel.poll(), channel.wait(LIMIT_S)) == (True, [], [])


def test_flush_waits_for_what_was_sent(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, _ = pair
    channel.send(Beat(rank=0, updates=0, events=0))
    assert channel.flush(LIMIT_S)


def test_flush_gives_up(pair: tuple[AgentChannel, socket.socket]) -> None:
    channel, connection = pair
    sender = threading.Thread(target=channel.send, args=(Note(rank=0, kind="k", text="x" * 5_000_000),))
    sender.start()
    while not channel._writing.locked():
        time.sleep(0.001)
    assert not channel.flush(0.05)
    connection.close()
    sender.join(LIMIT_S)


LEAVING = """
import sys
sys.path.insert(0, sys.argv[2])
from advisor.agent.base.channel import AgentChannel
channel = AgentChannel.connect(sys.argv[1], "t", leave_when_gone=True)
channel.wait(60)
print("went on")
"""


def test_a_probe_leaves_when_its_controller_has_gone(other: Other) -> None:
    root = str(Path(__file__).parents[3])
    with subprocess.Popen([sys.executable, "-c", LEAVING, other.path, root], stdout=-1, stderr=-1) as process:
        other.accept().close()
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (EXIT_NO_CONTROLLER, b"")
    assert err.startswith(b"advisor: the controller is gone")
