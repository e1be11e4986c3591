"""What is in the volumes: noise, real file systems, and whether two are the same."""

import errno
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

MIB = 1 << 20


class Volume(ABC):
    """A volume, past Cinder: what lies behind it in its storage."""

    @abstractmethod
    def write(self, offset_mib: int, size_mib: int) -> None:
        """Writes noise that no codec shortens, other noise each time, for certain and for all to see."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Path]:
        """What is in it now, as a file."""

    @abstractmethod
    def editing(self) -> AbstractContextManager[Path]:
        """The same for tools; what they change in the file is in the volume afterwards."""

    @abstractmethod
    def stored_bytes(self) -> int:
        """How much of it takes room."""

    def keep(self, to: Path) -> "FileVolume":
        """Copies what is in it now."""
        with self.reading() as path:
            run("cp", "--sparse=always", path, to)
        return FileVolume(to)


class FileVolume(Volume):
    """A volume that is a file on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, offset_mib: int, size_mib: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset_mib * MIB)
            for _ in range(size_mib):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def reading(self) -> Iterator[Path]:
        yield self.path

    @contextmanager
    def editing(self) -> Iterator[Path]:
        yield self.path
        run("sync", self.path)

    def stored_bytes(self) -> int:
        return self.path.stat().st_blocks * 512


def make_file_system(volume: Volume, content: Path) -> None:
    """Makes an ext4 file system with the files of a directory."""
    with volume.editing() as path:
        run("mkfs.ext4", "-q", "-F", "-d", content, path)


def add_file(volume: Volume, file: Path) -> None:
    """Writes a file into the file system."""
    with volume.editing() as path:
        run("debugfs", "-w", "-R", f"write {file} added", path)


def check_file_system(volume: Volume) -> None:
    """Asserts that the file system is whole."""
    with volume.reading() as path:
        run("e2fsck", "-f", "-n", path)


def assert_same(volume: Volume, expected: Volume) -> None:
    """Asserts that a volume has exactly this content; a larger one may have zeros behind it."""
    with volume.reading() as left, expected.reading() as right, left.open("rb") as found, right.open("rb") as wanted:
        assert left.stat().st_size >= right.stat().st_size, f"{left} is too short"
        for piece in sorted({*data_pieces(found.fileno()), *data_pieces(wanted.fileno())}):
            pair = [os.pread(file.fileno(), MIB, piece * MIB).rstrip(b"\0") for file in (found, wanted)]
            assert pair[0] == pair[1], f"{left} and {right} differ in MiB {piece}"


def data_pieces(descriptor: int) -> Iterator[int]:
    """The MiB of a file that are not all hole."""
    end = 0
    while (start := seek(descriptor, end, os.SEEK_DATA)) is not None:
        end = seek(descriptor, start, os.SEEK_HOLE) or 0
        yield from range(start // MIB, -(-end // MIB))


def seek(descriptor: int, offset: int, whence: int) -> int | None:
    """Where the next data or hole begins, if there is any."""
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def run(*words: str | Path) -> str:
    """Runs one of the system's tools, which must succeed; what it printed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout
