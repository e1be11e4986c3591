"""Runs the septet command line: arguments in, a summary or one sentence of error out.

Septet's standard input is a pipe that nobody writes to. The kernel closes it when this process ends, even if it is
killed. Septet is started with --until-eof, so it then stops: no backup or restore continues after its service was
killed. Closing the pipe also cancels a run.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

Event = dict[str, Any]

# The interval between calls of `watch`, so also the time until a cancellation is noticed.
WATCH_SECONDS = 1.0
# The time for an interrupted run to remove what it has stored, in addition to its own time limit.
CLEAN_UP_SECONDS = 60
ERROR_MARK = "septet: error: "
# The file's group may read it, so that operators can share it. Nobody else may.
ENVIRONMENT_MODE_FORBIDDEN = 0o027


class CommandError(Exception):
    """The reason why a command failed, in one sentence."""


@dataclass
class Command:
    """The septet command and the settings that all its runs share."""

    binary: str
    repository: str
    environment_file: str | None = None
    timeout_seconds: int = 120
    # For this run; takes precedence over the environment file.
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, arguments: list[str], watch: Callable[[Event], None] = lambda _: None) -> Event:
        """Runs the command to its end. Returns the summary; empty if the command prints none.

        About once a second `watch` is called with the latest progress. If it raises, the run is stopped, and the
        exception is raised again after the run has ended.
        """
        line = [self.binary, *arguments, "--until-eof", "--timeout", str(self.timeout_seconds)]
        LOG.debug("running %s", line)
        with self._start(line) as process:
            output = Output()
            try:
                self._follow(process, output, watch)
            except BaseException:
                self._interrupt(process)
                raise
            status = process.wait()
        if status:
            LOG.error("%s ended with status %s and printed:\n%s", line, status, "\n".join(output.text))
            raise CommandError(output.error or how_it_ended(self.binary, status))
        if output.summary.get("event"):
            # The agents' statistics are for septet's developers.
            LOG.info("%s: %s", line, {name: value for name, value in output.summary.items() if name != "agents"})
        return output.summary

    def _start(self, line: list[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self._credentials(), **self.environment, "SEPTET_REPO": self.repository}
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=environment)
        except OSError as error:
            reason = f"septet can't be started: {self.binary}: {error.strerror}: check septet_binary in cinder.conf"
            raise CommandError(reason) from error

    def _credentials(self) -> dict[str, str]:
        if not self.environment_file:
            return {}
        try:
            with Path(self.environment_file).open() as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                lines = file.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"septet_environment_file {self.environment_file} can't be read: {error}") from error
        if mode & ENVIRONMENT_MODE_FORBIDDEN:
            raise CommandError(
                f"septet_environment_file {self.environment_file} has mode {mode:04o}: others could read or change "
                "it; set 0640 or less"
            )
        pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
        return {name.strip(): value.strip() for name, _, value in pairs}

    def _follow(self, process: subprocess.Popen[bytes], output: "Output", watch: Callable[[Event], None]) -> None:
        """Reads until septet closes its output; never blocks longer than WATCH_SECONDS."""
        descriptor = pipe(process.stdout).fileno()
        next_watch = time.monotonic() + WATCH_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while True:
                if selector.select(max(0.0, next_watch - time.monotonic())):
                    read = os.read(descriptor, 1 << 16)
                    if not read:
                        return
                    output.add(read)
                if time.monotonic() >= next_watch:
                    watch(output.progress)
                    next_watch = time.monotonic() + WATCH_SECONDS

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        pipe(process.stdin).close()
        pipe(process.stdout).close()
        try:
            process.wait(self.timeout_seconds + CLEAN_UP_SECONDS)
        except subprocess.TimeoutExpired:
            LOG.error("septet, process %s, did not stop after its standard input was closed: killing it", process.pid)
            process.kill()


@dataclass
class Output:
    """The output of a run so far: events, one in a line, and between them text for the log."""

    progress: Event = field(default_factory=dict)
    summary: Event = field(default_factory=dict)
    error: str = ""
    text: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def add(self, read: bytes) -> None:
        """Parses the complete lines; keeps an incomplete line for the next call."""
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            self._add_line(line.decode(errors="replace"))

    def _add_line(self, line: str) -> None:
        event = parse(line)
        match event:
            case None:
                self.text.append(line)
                if line.startswith(ERROR_MARK):
                    self.error = line.removeprefix(ERROR_MARK)
            case {"event": "progress"}:
                self.progress = event
            case {"event": "note"}:
                LOG.info("septet: %s", event.get("text"))
            case {"event": "start" | "error" | "damage"}:
                pass
            case _:
                self.summary = event


def parse(line: str) -> Event | None:
    """The event in a line; None if the line is not an event."""
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def pipe(stream: Any) -> Any:
    """The stream, which exists because Popen was called with PIPE."""
    assert stream is not None  # noqa: S101
    return stream


def how_it_ended(binary: str, status: int) -> str:
    """The error for a run that printed no reason."""
    if status < 0:
        return f"{binary} was killed by {signal.Signals(-status).name}"
    return f"{binary} ended with status {status} and printed no error"
