"""What is in the volumes: random bytes, real file systems, and whether two are the same."""

import os
import subprocess
from pathlib import Path

MIB = 1 << 20


def write(path: Path, offset_mib: int, size_mib: int) -> None:
    """Writes noise that no codec shortens, other noise each time, for certain and for all to see."""
    with path.open("r+b") as file:
        file.seek(offset_mib * MIB)
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())


def make_file_system(path: Path, content: Path) -> None:
    """Makes an ext4 file system with the files of a directory."""
    run("mkfs.ext4", "-q", "-F", "-d", content, path)
    run("sync", path)


def check_file_system(path: Path) -> None:
    """Asserts that the file system is whole."""
    run("e2fsck", "-f", "-n", path)


def add_file(path: Path, file: Path) -> None:
    """Writes a file into the file system."""
    run("debugfs", "-w", "-R", f"write {file} added", path)
    run("sync", path)


def copy(path: Path, to: Path) -> Path:
    """Keeps what is in a volume now."""
    run("cp", "--sparse=always", path, to)
    return to


def assert_same(path: Path, expected: Path) -> None:
    """Asserts that a volume has exactly this content; a larger one may have zeros behind it."""
    assert path.stat().st_size >= expected.stat().st_size, f"{path} is too short"
    run("cmp", "--bytes", str(expected.stat().st_size), path, expected)


def run(*words: str | Path) -> None:
    """Runs one of the system's tools; must succeed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
