"""Small process between advisor and the user's script that ends everything when either of them ends.

It is started as `python -ISE keeper.py FD` with one end of a socket pair. It reads what to run and in which view, runs
the script as a child in its own session, and collects orphans. It then ends as the script ended: with the same exit
code or by the same signal. When the other end of the socket closes (advisor was killed) or says so, the script and all
its descendants are killed.

It uses only the standard library and is valid on Python 3.9. It must start in milliseconds (hence no pathlib) and must
not depend on the script's environment.

With a process namespace there are three processes: this one (watches the socket), the namespace's process 1 (builds
the view, collects orphans) and the script. The script is never process 1 itself: the kernel would ignore its own
SIGKILL, SIGSEGV and SIGTERM. Without a namespace, this process is the "child subreaper", so that daemons which forked
twice stay below it and are found.
"""

from __future__ import annotations

import importlib
import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False  # `typing` costs milliseconds of start-up, and so do `signal`, `socket` and `json`
if TYPE_CHECKING:
    import signal
    from types import ModuleType
    from typing import Any, NoReturn
else:
    import _signal as signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
TREE_END_S = 5.0
"""Limit for killing a tree: only a process in an uninterruptible wait of the kernel takes longer."""
LINUX = sys.platform == "linux"


class Control:
    """Socket to advisor: the spec comes down, then the words `term` and `kill`; lines of `repr` go up."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def read_spec(self) -> Any:
        size = int.from_bytes(self._read(8), "big")
        return marshal.loads(self._read(size))

    def _read(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = os.read(self.descriptor, size - len(received))
            if not part:
                os._exit(0)  # advisor ended before it said what to run
            received += part
        return received

    def send(self, **message: Any) -> None:
        try:
            os.write(self.descriptor, repr(message).encode() + b"\n")
        except OSError:
            pass  # advisor has ended: the loop that reads the socket will notice

    def word(self) -> str:
        try:
            return os.read(self.descriptor, 64).decode("ascii", "replace")
        except OSError:
            return ""


def prctl(option: int, value: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_like(status: int) -> NoReturn:
    """End this process with the script's own wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        prctl(PR_SET_DUMPABLE, 0)  # the script has left its core file already, if any
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def start_script(spec: Any, control: Control) -> int:
    """Fork and execute the script; return its process id once it really runs."""
    reader, writer = os.pipe()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become_script(spec, keeper)
        except BaseException as error:  # whatever it is must reach advisor: nobody else can see it
            os.write(writer, f"{getattr(error, 'errno', 0) or 0} {error}".encode()[:4096])
        os._exit(127)
    os.close(writer)
    trouble = os.read(reader, 4096)
    os.close(reader)
    if trouble:
        number, _, text = trouble.decode("utf-8", "replace").partition(" ")
        control.send(failed="start", errno=int(number), message=text)
        os.waitpid(child, 0)
        os._exit(127)
    control.send(started=child)
    return child


def _become_script(spec: Any, keeper: int) -> None:
    os.setsid()  # a script that signals its own group must not reach the keeper
    if not spec.get("namespace"):
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(127)  # the keeper died before the line above
    os.chdir(spec["cwd"])
    if spec.get("landlock"):
        kernel().restrict_writes(**spec["landlock"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an ignored signal survives exec
    os.execvpe(spec["argv"][0], spec["argv"], os.environ)


def kernel() -> ModuleType:
    """Import the mounting part, which lies beside this file: `-I` keeps the folder off the path."""
    folder = os.path.dirname(os.path.abspath(__file__))
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("keeper_view")


def _give_up(control: Control, error: OSError) -> NoReturn:
    control.send(failed="isolation", errno=error.errno, message=str(error))
    os._exit(126)


# --- with a process namespace -------------------------------------------------------------------------------------


def keep_namespace(spec: Any, control: Control) -> NoReturn:
    """Run the script below its own process 1 and wait for it; never return."""
    try:
        kernel().unshare(spec["view"])
    except OSError as error:
        _give_up(control, error)
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(reader)
        _process_one(spec, control, writer)
    os.close(writer)
    status = int(signal.SIGKILL)
    watched = select.poll()
    watched.register(reader, select.POLLIN | select.POLLHUP)
    watched.register(control.descriptor, select.POLLIN | select.POLLHUP)
    while True:
        ready = dict(watched.poll())
        if reader in ready:
            text = os.read(reader, 64)
            status = int(text) if text else int(signal.SIGKILL)
            break
        if control.word() == "term":
            os.kill(first, signal.SIGTERM)
        else:
            os.kill(first, signal.SIGKILL)  # takes the whole namespace with it
            break
    os.waitpid(first, 0)  # returns when the kernel has emptied the namespace
    control.send(ended=status)
    end_like(status)


def _process_one(spec: Any, control: Control, writer: int) -> NoReturn:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    alive = select.poll()
    alive.register(writer, select.POLLERR)
    if alive.poll(0):
        os._exit(126)  # the keeper died before the line above
    try:
        notes = kernel().build(spec["view"])
    except OSError as error:
        _give_up(control, error)
    control.send(notes=notes)
    child = start_script(spec, control)
    signal.signal(signal.SIGTERM, lambda *_: _signal_group(child, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == child:
            os.write(writer, str(status).encode())
            os._exit(0)


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except OSError:
        pass  # it has just ended


# --- without ------------------------------------------------------------------------------------------------------


def keep_tree(spec: Any, control: Control) -> NoReturn:
    """Run the script below this process, which collects orphans; never return."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if spec.get("view"):  # a view without a namespace of processes
        try:
            kernel().unshare(spec["view"])
            control.send(notes=kernel().build(spec["view"]))
        except OSError as error:
            _give_up(control, error)
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    os.set_blocking(wake_reader, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = start_script(spec, control)
    watched = select.poll()
    watched.register(wake_reader, select.POLLIN)
    watched.register(control.descriptor, select.POLLIN | select.POLLHUP)
    status = _collect(child)
    while status is None:
        ready = dict(watched.poll())
        if wake_reader in ready:
            os.read(wake_reader, 4096)
        elif control.word() == "term":
            _signal_group(child, signal.SIGTERM)
        else:
            status = int(signal.SIGKILL)
            break
        status = _collect(child)
    end_tree(child)
    control.send(ended=status)
    end_like(status)


def _collect(child: int) -> int | None:
    """Reap all ended processes; return the script's status if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def end_tree(child: int) -> None:
    """Kill every descendant, repeatedly until none is left, since new ones may start meanwhile."""
    if not LINUX:
        _signal_group(child, signal.SIGKILL)
        return
    deadline = time.monotonic() + TREE_END_S
    while time.monotonic() < deadline:
        tree = descendants(os.getpid())
        if not tree:
            return
        for pid, started in tree:
            kill_exactly(pid, started)
        _collect(child)
        time.sleep(0.002)


def descendants(root: int) -> list[tuple[int, bytes]]:
    """Return (process id, start time) of all living processes below `root`."""
    children: dict[int, list[tuple[int, bytes]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields and fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append((int(name), fields[19]))
    found: list[tuple[int, bytes]] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [pid for pid, _ in below]
    return found


def stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/PID/stat behind the name; None if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def kill_exactly(pid: int, started: bytes) -> None:
    """Send SIGKILL, but only if the id still belongs to the process that started then."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        fields = stat_fields(pid)
        if fields and fields[19] == started:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        pass  # it ended just now, or belongs to another user
    finally:
        os.close(handle)


def main() -> None:
    control = Control(int(sys.argv[1]))
    spec = control.read_spec()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if spec.get("namespace"):
        keep_namespace(spec, control)
    keep_tree(spec, control)


if __name__ == "__main__":
    main()
