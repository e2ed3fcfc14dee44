"""The messages between the controller and the agent inside the script's process.

Plain dataclasses, one JSON object a line, over a private Unix socket. Both sides import this module, the agent
under the interpreter of the script: standard library only, Python 3.9. The controller validates what comes in.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Union

WIRE_VERSION = 1
PROLONGED = "prolonged"
"""Kind of the note that an epoch of the script's goes on past its end."""
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A window of 2,000 updates is about 300 kB; what is longer is no message of ours."""

Setting = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Window:
    """One stretch of updates under one configuration."""

    id: str
    kind: str = "measure"
    """`measure`: hooks on; `bare`: only the ends of updates are seen; `trace`: torch calls are recorded, its timings
    are not used; `drain`: the loop waits while `what_if` runs beside it; `epoch_end`: the loader ends early."""
    config: dict[str, Setting] = field(default_factory=dict)
    """Knob id → value; empty is the script as written."""
    what_if: str | None = None
    natural: bool = True
    """Loaders end where they end. False: they start their next epoch instead, in a process whose script would end too
    soon otherwise."""
    warm_up_updates: int = 3
    min_updates: int = 5
    max_updates: int = 2000
    least_updates: int = 2
    """Not ended by `max_s` before so many were counted."""
    min_s: float = 0.0
    """Counted time that is enough, once `min_updates` are there."""
    max_s: float = 10.0
    """The window ends after this long, settling included, once `least_updates` were counted."""
    sampler_hz: float = 0.0
    snapshot: str | None = None
    """Reserved: the state to start from."""


@dataclass(frozen=True)
class LaunchSpec:
    """What the agent reads from its one JSON file at its start."""

    version: int
    socket: str
    token: str
    target: str
    is_module: bool
    args: list[str]
    mode: str = "probe"
    """`probe`: windows are run in a throw-away view; `run`: the real training, nothing is cut short."""
    config: dict[str, Setting] = field(default_factory=dict)
    """What is applied from the start (launch knobs, or everything in mode `run`)."""
    trackers_offline: bool = True
    life: int = 0
    log: str = ""
    """In mode `run`: the file in which a setting that was given up is recorded; empty records nothing."""
    seed: int | None = None
    """Generators begin with it, and seeds that the script sets are moved by it; None leaves them to the script."""


# --- controller → agent -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    windows: list[Window]
    final: bool = False
    """Nothing comes after these: report and leave."""


@dataclass(frozen=True)
class Stop:
    reason: str = ""


# --- agent → controller -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """First line of a connection."""

    version: int
    token: str
    pid: int
    rank: int = 0
    world_size: int = 1
    python: str = ""
    executable: str = ""


@dataclass(frozen=True)
class Ready:
    """torch has been imported and the hooks are in."""

    rank: int
    torch: str
    packages: dict[str, str]
    cuda: str | None = None
    rocm: str | None = None
    cudnn: str | None = None
    accelerator_available: bool = False


@dataclass(frozen=True)
class Beat:
    """Sign of life; `events` grows with everything that the hooks see, evaluation included."""

    rank: int
    updates: int
    events: int


@dataclass(frozen=True)
class Note:
    """Something worth knowing: a tracker put offline, a network connection, a caught out-of-memory error."""

    rank: int
    kind: str
    text: str


@dataclass(frozen=True)
class SampledLine:
    """A line the sampler found the training thread at: the user's, or a library's that no line of theirs called."""

    file: str
    line: int
    function: str
    phase: str
    kind: str
    hits: int
    library: str = ""
    """The installed package whose code the line calls, or to which it belongs."""


@dataclass(frozen=True)
class LoaderSums:
    """Loader work of a window, added over workers; seconds. None where it could not be seen."""

    batches: int
    samples: int | None
    workers: int
    fetch_s: float | None = None
    fetch_cpu_s: float | None = None
    collate_s: float | None = None
    transfer_s: float | None = None
    restarts: int = 0
    restart_s: float = 0.0
    duplicates_fraction: float | None = None


@dataclass(frozen=True)
class WindowDone:
    """A window as it was run: one entry an update in every column, warm-up left out."""

    rank: int
    id: str
    start_s: float
    """perf_counter of the first counted update's begin, since the agent's start."""
    wall_s: list[float]
    """From one update's end to the next, evaluation and kin included."""
    phases_s: dict[str, list[float]]
    off_step_s: dict[str, list[float]]
    micro_steps: list[int]
    samples: list[int | None]
    samples_from: str
    """`indices`, `leading dimension` or `not known`."""
    losses: list[float | None]
    dropped_updates: int
    hits: int = 0
    """Samples that the sampler took."""
    lines: list[SampledLine] = field(default_factory=list)
    loader: LoaderSums | None = None
    rss_bytes: list[int] = field(default_factory=list)
    """At most 200 points over the window, evenly spread."""
    device_bytes: list[int] = field(default_factory=list)
    device_peak_bytes: int | None = None
    device_reserved_bytes: int | None = None
    host_peak_bytes: int | None = None
    """The largest resident memory of this process while the window was counted; None where the system keeps one peak
    for the whole process."""
    gc_s: float = 0.0
    gc_collections: int = 0
    cpu_s: float = 0.0
    """CPU time of the training process, its threads included."""
    set_up_s: float | None = None
    """What taking the settings has cost once, compiling above all: it stands in no update of the window."""
    cut_short: str | None = None
    """Why it ended before its minimum: `script ended`, `max_s`, `crashed`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What a what-if or a trace reports besides; its own file says what."""


@dataclass(frozen=True)
class WindowRefused:
    """The window could not be run on this script."""

    rank: int
    id: str
    kind: str
    """`refused`, `crash`, `oom`, `nan`."""
    message: str


@dataclass(frozen=True)
class Facts:
    """What the script is made of, as `types.Workload` in plain JSON; sent once the first updates were seen, and again
    when the plan is done."""

    rank: int
    workload: dict[str, Any]
    memory: dict[str, Any]


@dataclass(frozen=True)
class Idle:
    """The plan is empty; the script waits at the end of an update."""

    rank: int
    updates: int


@dataclass(frozen=True)
class Crashed:
    """The script ended with an exception; it ends by itself right after."""

    rank: int
    kind: str
    """`crash` or `oom`."""
    exceptions: list[str]
    """Outermost first, "Type: text"."""
    traceback: str


@dataclass(frozen=True)
class Goodbye:
    """Last line: why this process ends."""

    rank: int
    reason: str
    """`plan done`, `finished`, `stopped`, `crashed`."""
    updates: int
    exit_code: int | None = None
    first_update_s: float | None = None
    """From the agent's start to the begin of the first update; None without one."""


Message = Union[
    Plan, Stop, Hello, Ready, Beat, Note, WindowDone, WindowRefused, Facts, Idle, Crashed, Goodbye
]  # fmt: skip
TO_AGENT = (Plan, Stop)
TO_CONTROLLER = (Hello, Ready, Beat, Note, WindowDone, WindowRefused, Facts, Idle, Crashed, Goodbye)


def encode(message: Message) -> bytes:
    """One line of JSON, its newline included. NaN and infinities become null: JSON has none."""
    body = {"type": type(message).__name__, **dataclasses.asdict(message)}
    try:
        text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(body), allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def decode_to_agent(line: bytes) -> Plan | Stop:
    """What the controller sent. The controller is trusted: it holds the token's other end."""
    body = json.loads(line)
    kind = body.pop("type")
    if kind == "Plan":
        return Plan(windows=[Window(**window) for window in body["windows"]], final=body["final"])
    if kind == "Stop":
        return Stop(**body)
    raise ValueError(f"unknown message {kind!r} from the controller: both sides must be of one version")


def message_type(name: str) -> type[Any]:
    """The class of a message that the agent may send; ValueError for any other name."""
    for kind in TO_CONTROLLER:
        if kind.__name__ == name:
            return kind
    raise ValueError(f"unknown message {name!r} from the agent: both sides must be of one version")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
