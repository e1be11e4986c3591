"""Tests of how septet is run, with scripts in its place: its output, its exit status and its interruption."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from septet_cinder.command import Command, CommandError, Event, Output

Make = Callable[..., Command]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Returns a command whose binary is a script."""

    def make(script: str, **options: str) -> Command:
        binary = tmp_path / "septet"
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(0o755)
        return Command(str(binary), "/repo", **options)

    return make


def test_the_summary_comes_back_and_all_words_arrive_as_they_are(make: Make) -> None:
    command = make(
        """printf '{"event": "summary", "words": "%s|%s|%s", "repo": "%s"}\\n' "$1" "$2" "$3" "$SEPTET_REPO" """
    )
    assert command.run(["list", "$(id); `id`"])["words"] == "list|$(id); `id`|--until-eof"
    assert command.run([])["repo"] == "/repo"


def test_the_error_is_septets_own_sentence(make: Make) -> None:
    with pytest.raises(CommandError, match=r"^the disk is on fire: put it out$"):
        make("echo noise; echo 'septet: error: the disk is on fire: put it out' >&2; exit 1").run([])


def test_an_end_without_a_word_has_a_sentence_too(make: Make) -> None:
    with pytest.raises(CommandError, match="status 7 and printed no error"):
        make("exit 7").run([])
    with pytest.raises(CommandError, match="killed by SIGKILL"):
        make("kill -9 $$").run([])


def test_a_binary_that_is_missing_is_named() -> None:
    with pytest.raises(CommandError, match=r"/nowhere/septet: No such file or directory: check septet_binary"):
        Command("/nowhere/septet", "/repo").run([])


def test_credentials_come_from_a_file_that_nobody_else_can_read(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# S3\n\nAWS_SECRET_ACCESS_KEY = a=b\n")
    command = make("""echo "{\\"secret\\": \\"$AWS_SECRET_ACCESS_KEY\\"}" """, environment_file=str(file))
    for mode in (0o600, 0o640, 0o400):
        file.chmod(mode)
        assert command.run([]) == {"secret": "a=b"}
    for mode in (0o644, 0o660, 0o604):
        file.chmod(mode)
        with pytest.raises(CommandError, match="others could read or change it"):
            command.run([])
    file.unlink()
    with pytest.raises(CommandError, match="can't be read"):
        command.run([])


def test_what_watch_raises_ends_the_run_through_its_standard_input(make: Make, tmp_path: Path) -> None:
    progress = '{"event": "progress", "bytes_done": 7}'
    command = make(f"echo '{progress}'; cat; echo over > {tmp_path}/ended")
    seen: list[Event] = []

    def watch(event: Event) -> None:
        seen.append(event)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        command.run([], watch)
    assert seen[0]["bytes_done"] == 7
    assert (tmp_path / "ended").read_text() == "over\n"


def test_a_run_that_does_not_stop_is_killed(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("septet_cinder.command.CLEAN_UP_SECONDS", 1)
    command = make(f"echo $$ > {tmp_path}/pid; exec sleep 100 < /dev/null")
    command.timeout_seconds = 0

    def watch(_: Event) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        command.run([], watch)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIG_DFL)


def test_lines_come_in_pieces_and_text_between_them() -> None:
    output = Output()
    for piece in (b'{"event": "pro', b'gress", "bytes_done": 1}\nwarn', b'ing\n{"broken\n{"event": "summary"}\nrest'):
        output.add(piece)
    assert (output.progress["bytes_done"], output.summary) == (1, {"event": "summary"})
    assert output.text == ["warning", '{"broken']
