"""The content of volumes: noise, real file systems, and comparisons."""

import errno
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

MIB = 1 << 20


class Volume(ABC):
    """Direct access to a volume in its storage, without Cinder."""

    @abstractmethod
    def write(self, offset_mib: int, size_mib: int) -> None:
        """Writes incompressible noise, different each time. It is durable and visible to other readers on return."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Path]:
        """The current content as a file."""

    @abstractmethod
    def editing(self) -> AbstractContextManager[Path]:
        """The current content as a file. Changes of the file are written to the volume afterwards."""

    @abstractmethod
    def stored_bytes(self) -> int:
        """The bytes that the volume occupies."""

    def keep(self, to: Path) -> "FileVolume":
        """Copies the current content."""
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
    """Creates an ext4 file system with the files of a directory."""
    with volume.editing() as path:
        run("mkfs.ext4", "-q", "-F", "-d", content, path)


def add_file(volume: Volume, file: Path) -> None:
    """Writes a file into the file system."""
    with volume.editing() as path:
        run("debugfs", "-w", "-R", f"write {file} added", path)


def check_file_system(volume: Volume) -> None:
    """Asserts that the file system is consistent."""
    with volume.reading() as path:
        run("e2fsck", "-f", "-n", path)


def assert_same(volume: Volume, expected: Volume) -> None:
    """Asserts that a volume has exactly this content, followed only by zeros if the volume is larger."""
    with volume.reading() as left, expected.reading() as right, left.open("rb") as found, right.open("rb") as wanted:
        assert left.stat().st_size >= right.stat().st_size, f"{left} is too short"
        for piece in sorted({*data_pieces(found.fileno()), *data_pieces(wanted.fileno())}):
            pair = [os.pread(file.fileno(), MIB, piece * MIB).rstrip(b"\0") for file in (found, wanted)]
            assert pair[0] == pair[1], f"{left} and {right} differ in MiB {piece}"


def data_pieces(descriptor: int) -> Iterator[int]:
    """The numbers of the file's MiB that are not entirely a hole."""
    end = 0
    while (start := seek(descriptor, end, os.SEEK_DATA)) is not None:
        end = seek(descriptor, start, os.SEEK_HOLE) or 0
        yield from range(start // MIB, -(-end // MIB))


def seek(descriptor: int, offset: int, whence: int) -> int | None:
    """The offset of the next data or hole, if there is one."""
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def run(*words: str | Path) -> str:
    """Runs one of the system's tools, which must succeed. Returns its output."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout
