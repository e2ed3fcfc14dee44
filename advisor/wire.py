"""Messages between the controller and the agent inside the script's process.

They are plain dataclasses, one JSON object per line, over a private Unix socket. Both sides import this module, the
agent under the script's interpreter: use only the standard library and Python 3.9. The controller validates its input.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Union

from .window_role import WindowRole as WindowRole  # noqa: PLC0414  # the re-export that type checkers know

WIRE_VERSION = 2
REMARK = "remark"
"""Kind of a note that the user reads as it arrives."""
PROLONGED = "prolonged"
"""Kind of the note sent when one of the script's epochs continues past its end."""
MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest valid message; a longer line is not ours. A window of 2,000 updates takes about 300 kB."""

Setting = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Window:
    """Consecutive updates under one configuration."""

    id: str
    role: WindowRole = WindowRole.OBSERVATION
    kind: str = "measure"
    """`measure`: hooks on; `bare`: only the ends of updates are seen; `trace`: torch calls are recorded, timings are
    not used; `device_trace`: the same for the device's activities; `drain`: the loop waits while `what_if` runs beside
    it; `epoch_end`: the loader ends early; `range_test`: learning rates are swept from a snapshot, to which the
    training returns; `noise_scale`: norms of gradients are taken, timings are not used."""
    config: dict[str, Setting] = field(default_factory=dict)
    """Knob id → value; empty for the baseline."""
    what_if: str | None = None
    natural: bool = True
    """True lets loaders end naturally. False makes them start their next epoch instead, for a script that would
    otherwise end too soon."""
    warm_up_updates: int = 3
    min_updates: int = 5
    max_updates: int = 2000
    least_updates: int = 2
    """Updates that must be counted before `max_s` can end the window."""
    min_s: float = 0.0
    """Counted seconds that suffice once `min_updates` are reached."""
    max_s: float = 10.0
    """Seconds, settling included, until the window ends once `least_updates` were counted."""
    precision: float = 0.0
    """Relative standard error of the mean update that is needed, too; 0 for any. `max_s` ends the window regardless."""
    warm_up_s: float | None = None
    """Most seconds of warm-up, if that is less than half of `max_s`."""
    sampler_hz: float = 0.0
    left_out: str | None = None
    """Knob that a window of role `left_out` does without."""
    options: dict[str, Any] = field(default_factory=dict)
    """Values of its kind, described in the module that carries it out."""


@dataclass(frozen=True)
class LaunchSpec:
    """Contents of the one JSON file that the agent reads at startup."""

    version: int
    socket: str
    token: str
    target: str
    is_module: bool
    args: list[str]
    mode: str = "probe"
    """`probe`: windows run under isolation; `run`: the real training, nothing is cut short."""
    config: dict[str, Setting] = field(default_factory=dict)
    """Settings applied from the start (launch knobs, or all in mode `run`)."""
    constants: dict[str, dict[str, Setting]] = field(default_factory=dict)
    """Constants set in the script before it runs: module ("" is the script) → name in it → value."""
    trackers_offline: bool = True
    log: str = ""
    """File that records settings given up in mode `run`; empty records nothing."""
    updates: float | None = None
    """Length of the training in updates, for schedules; None if it is unknown."""
    metric: str = ""
    """Name under which the script prints the number that judges it; empty for its losses."""
    seed: int | None = None
    """Initial seed of the generators, and offset added to seeds that the script sets; None leaves both alone."""
    launched: bool = False
    """True if a launcher starts the script: every rank reads this file, and the ranks follow rank 0."""
    rank: int = 0
    """Place of this process among those that train together; the first one alone prints and writes."""
    ranks: int = 1
    """Number of processes that train together."""
    meeting: str = ""
    """File by which they find each other."""
    parent: int = 0
    """Process that started them, and with which they end; 0 if the script's process stands alone."""
    alike: int | None = None
    """Initial seed of the generators on all ranks; seeds that the script sets stay."""
    joins_after: int = 0
    """Updates after which the ranks join: a probe knows the model once it has seen one."""
    why_alone: str = ""
    """Reason why the settings ask for several processes and this is the only one."""


# --- controller → agent -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    windows: list[Window]
    final: bool = False
    """True if no plan follows: the agent reports and exits."""


@dataclass(frozen=True)
class Stop:
    reason: str = ""


# --- rank 0 → other ranks, and back; the controller hands them on -----------------------------------------------------


@dataclass(frozen=True)
class RankOrder:
    """Action of rank 0 at the end of an update, for the others to repeat at the end of the same one."""

    what: str
    """`go` on up to `until`; `enter` a window; `count` from here; `finish` or `drop` it; `undo` entering; `leave`."""
    until: int = 0
    """Update at whose end the next order is due."""
    window: Window | None = None
    text: str = ""


@dataclass(frozen=True)
class RankAnswer:
    """Answer of another rank to `enter`, or its notice that a setting failed within an update."""

    rank: int
    refusal: str | None = None
    entering: bool = True
    """False for a notice that nobody has asked for."""


# --- agent → controller -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """First message of a connection."""

    version: int
    token: str
    pid: int
    rank: int = 0
    world_size: int = 1
    python: str = ""
    executable: str = ""
    received: int = 0
    """Messages that were read from an earlier connection, which the script has closed."""
    connection: int = 0
    """Number of the rank's connection: two that follow at once may be greeted in the other order."""


@dataclass(frozen=True)
class Ready:
    """Notice that torch is imported and the hooks are installed."""

    rank: int
    torch: str
    packages: dict[str, str]
    cuda: str | None = None
    rocm: str | None = None
    cudnn: str | None = None
    accelerator_available: bool = False


@dataclass(frozen=True)
class Beat:
    """Heartbeat; `events` grows with everything that the hooks see, evaluation included."""

    rank: int
    updates: int
    events: int
    at: str = ""
    """Place where the training thread has stood still for some seconds; "" if it goes on."""


@dataclass(frozen=True)
class Note:
    """Noteworthy event: a tracker put offline, a network connection, a caught out-of-memory error."""

    rank: int
    kind: str
    text: str


@dataclass(frozen=True)
class SampledLine:
    """Line where the sampler found the training thread: the user's, or a library's that no user line called."""

    file: str
    line: int
    function: str
    phase: str
    kind: str
    hits: int
    library: str = ""
    """Installed package whose code the line calls, or to which the line belongs."""


@dataclass(frozen=True)
class LoaderSums:
    """Loader work of a window in seconds, summed over workers. None where it could not be observed."""

    batches: int
    samples: int | None
    workers: int
    fetch_s: float | None = None
    fetch_cpu_s: float | None = None
    collate_s: float | None = None
    transfer_s: float | None = None
    restarts: int = 0
    restart_s: float = 0.0
    draw_s: float = 0.0
    """The part of it in which the sampler drew the first indices of an epoch."""
    duplicates_fraction: float | None = None


@dataclass(frozen=True)
class WindowDone:
    """Results of one window: one entry per update in every column, warm-up left out."""

    rank: int
    id: str
    start_s: float
    """Start of the first counted update on `perf_counter`, relative to the agent's start."""
    wall_s: list[float]
    """Seconds from one update's end to the next, including evaluation and the like."""
    phases_s: dict[str, list[float]]
    off_step_s: dict[str, list[float]]
    micro_steps: list[int]
    samples: list[int | None]
    samples_from: str
    """`indices`, `leading dimension` or `not known`."""
    losses: list[float | None]
    dropped_updates: int
    hits: int = 0
    """Stack samples that the sampler took."""
    lines: list[SampledLine] = field(default_factory=list)
    loader: LoaderSums | None = None
    rss_bytes: list[int] = field(default_factory=list)
    """At most 200 points, evenly spread over the window."""
    device_bytes: list[int] = field(default_factory=list)
    device_peak_bytes: int | None = None
    device_reserved_bytes: int | None = None
    host_peak_bytes: int | None = None
    """Largest resident memory of this process during the counted window; None where the system keeps a single peak for
    the whole process."""
    updates_before: int | None = None
    """Updates of the script run before the first counted one."""
    elements: list[int] = field(default_factory=list)
    """Elements of the tensors that models were called with, per update; one number if all updates are alike."""
    communication_s: list[float] = field(default_factory=list)
    """Seconds of every update in which this rank waited in collectives; empty if it is alone or could not be seen."""
    hooks: int | None = None
    """Hooks on modules, parameters and optimizers when counting began."""
    gc_s: float = 0.0
    gc_collections: int = 0
    cpu_s: float = 0.0
    """CPU time of the training process, its threads included."""
    set_up_s: float | None = None
    """One-time seconds spent on applying the settings, mostly on compiling; no update of the window includes them."""
    cut_short: str | None = None
    """Reason for ending before the minimum: `script ended`, `max_s`, `crashed`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Additional results of a what-if or a trace, described in its own module."""

    @property
    def element_counts(self) -> list[int]:
        """`elements` of each update; zeros where they were not counted."""
        count = len(self.wall_s)
        return self.elements if len(self.elements) == count else [sum(self.elements[:1])] * count


@dataclass(frozen=True)
class SoFar:
    """Report of a window that has not ended: all that is known of it if the script hangs or is killed."""

    done: WindowDone


@dataclass(frozen=True)
class WindowRefused:
    """Notice that a window could not be run on this script."""

    rank: int
    id: str
    kind: str
    """`refused`, `crash`, `oom`, `nan`."""
    message: str


@dataclass(frozen=True)
class Facts:
    """Description of the script, as `types.Workload` in plain JSON. It is sent after the first updates, and again when
    the plan is done."""

    rank: int
    workload: dict[str, Any]
    memory: dict[str, Any]


@dataclass(frozen=True)
class Idle:
    """Notice that the plan is empty and the script waits at the end of an update."""

    rank: int
    updates: int


@dataclass(frozen=True)
class Crashed:
    """Notice that the script raised an exception; its process then exits on its own."""

    rank: int
    kind: str
    """`crash` or `oom`."""
    exceptions: list[str]
    """Exceptions as "Type: text", outermost first."""
    traceback: str


@dataclass(frozen=True)
class Goodbye:
    """Last message: the reason why this process ends."""

    rank: int
    reason: str
    """`plan done`, `finished`, `stopped`, `crashed`."""
    updates: int
    exit_code: int | None = None
    first_update_s: float | None = None
    """Seconds from the agent's start to the start of the first update; None without one."""


Message = Union[
    Plan, Stop, Hello, Ready, Beat, Note, WindowDone, SoFar, WindowRefused, Facts, Idle, Crashed, Goodbye, RankOrder,
    RankAnswer,
]  # fmt: skip
TO_CONTROLLER = (
    Hello, Ready, Beat, Note, WindowDone, SoFar, WindowRefused, Facts, Idle, Crashed, Goodbye, RankOrder, RankAnswer
)  # fmt: skip


def encode(message: Message) -> bytes:
    """Return one line of JSON, newline included. NaN and infinities become null because JSON has neither."""
    body = {"type": type(message).__name__, **dataclasses.asdict(message)}
    try:
        text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    except ValueError:
        finite = json.loads(json.dumps(body), parse_constant=lambda _name: None)
        text = json.dumps(finite, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def decode_to_agent(line: bytes) -> Plan | Stop | RankOrder | RankAnswer:
    """Decode a message from the controller. The controller is trusted because it shares the token."""
    body = json.loads(line)
    kind = body.pop("type")
    if kind == "Plan":
        return Plan(windows=[_window(window) for window in body["windows"]], final=body["final"])
    if kind == "Stop":
        return Stop(**body)
    if kind == "RankOrder":
        return RankOrder(**{**body, "window": None if body["window"] is None else _window(body["window"])})
    if kind == "RankAnswer":
        return RankAnswer(**body)
    raise ValueError(f"unknown message {kind!r} from the controller: both sides must be of one version")


def _window(body: dict[str, Any]) -> Window:
    return Window(**{**body, "role": WindowRole(body["role"])})


def message_type(name: str) -> type[Any]:
    """Return the class of a message that the agent may send; raise ValueError for any other name."""
    for kind in TO_CONTROLLER:
        if kind.__name__ == name:
            return kind
    raise ValueError(f"unknown message {name!r} from the agent: both sides must be of one version")
