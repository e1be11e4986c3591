"""Processes: the services of the tests and their descendants."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Self, TypeVar

from cloud.volumes import Volume

T = TypeVar("T")

# Far more than any step takes with small volumes, even on a busy machine.
time_limit_seconds = 120
# A backup that has read this much, or a restore that has written this much, is neither starting nor ending: the pools
# hold less than the first, and the volumes hold more.
READ_BYTES, WRITTEN_BYTES = 64 << 20, 8 << 20


def wait_until(look: Callable[[], T], what: str, seconds: float | None = None, pause_seconds: float = 0.1) -> T:
    """Returns the first true result of `look`. After the time limit raises an error that names `what`."""
    seconds = seconds or time_limit_seconds
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, f"no sign of {what} within {seconds} s"
        time.sleep(pause_seconds)
    return seen


class Service:
    """A process that runs until it is stopped, in its own session. Its output is in DIRECTORY/NAME.out."""

    def __init__(self, name: str, line: list[str], directory: Path, environment: dict[str, str]) -> None:
        self.output = directory / f"{name}.out"
        self.started = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                line,
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def kill(self) -> None:
        """Kills it and all its descendants."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def kill_alone(self) -> None:
        """Kills it, but not its descendants."""
        self.process.kill()
        self.process.wait()

    def memory_peak_mib(self) -> int:
        """The peak memory of the process itself so far."""
        return int(status_of(self.pid)["VmHWM"].split()[0]) >> 10

    def log(self) -> str:
        """Its output so far."""
        return self.output.read_text(errors="replace")


def status_of(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status; empty if there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def children(pid: int) -> list[int]:
    """The children of the process."""
    try:
        lines = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for line in lines for child in line.split()]


def descendants(pid: int) -> dict[int, str]:
    """All descendants of the process, with their names."""
    found: dict[int, str] = {}
    for child in children(pid):
        found |= {child: status_of(child).get("Name", ""), **descendants(child)}
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not."""
    return status_of(pid).get("State", "Z")[0] not in "ZX"


def bytes_read(pid: int) -> int:
    """The bytes that the process has read so far, including sockets."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


class Held:
    """A run of septet that is held while it works: the agent that has the volume open is stopped."""

    def __init__(self, service: Service, agent: str, is_under_way: Callable[[int], bool]) -> None:
        # The kernel keeps 15 characters of a process's name.
        name = f"septet-{agent}"[:15]
        self.agent = wait_until(
            lambda: next((pid for pid, called in descendants(service.pid).items() if called == name), None),
            name,
            pause_seconds=0.005,
        )
        wait_until(lambda: is_under_way(self.agent), f"work of {name}", pause_seconds=0.001)
        os.kill(self.agent, signal.SIGSTOP)
        # The supervisor is killed first: if an agent died before it, it would clean up.
        septet = {pid: name for pid, name in descendants(service.pid).items() if name.startswith("septet")}
        self.processes = sorted(septet, key=lambda pid: septet[pid] != "septet")
        assert self.agent in self.processes, f"{name} was too fast: use larger volumes"

    @classmethod
    def backup(cls, service: Service) -> Self:
        """A held backup that has read a large part of the volume."""
        return cls(service, "reader", lambda agent: bytes_read(agent) > READ_BYTES)

    @classmethod
    def restore(cls, service: Service, target: Volume) -> Self:
        """A held restore that has written a large part of a volume that was empty."""
        return cls(service, "volumewriter", lambda _: target.stored_bytes() > WRITTEN_BYTES)

    def go_on(self) -> None:
        """Lets it continue."""
        os.kill(self.agent, signal.SIGCONT)

    def kill_all(self) -> None:
        """Kills all its processes, as a crash of the machine would."""
        for pid in self.processes:
            # An agent may have ended with its supervisor, which was killed first.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_gone(self) -> None:
        """Waits until none of its processes is left."""
        wait_until(lambda: not any(map(is_alive, self.processes)), f"the end of septet {self.processes}")
