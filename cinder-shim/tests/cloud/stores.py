"""The storages that the tests run on: each can be taken away and come back."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

# For bytes.translate.
ANOTHER = bytes(byte ^ 1 for byte in range(256))


def is_tombstone(key: str, read: Callable[[str], bytes]) -> bool:
    """Whether this is what a deleted backup leaves for a day."""
    return "/manifest-" in key and read(key).startswith(b'{"manifest":{"kind":"tombstone"')


class Store(ABC):
    """A storage, made for one run of the tests in a directory of theirs."""

    # What septet_repository is, and what its environment file holds.
    repository: str
    environment: dict[str, str]

    @abstractmethod
    def objects(self) -> list[str]:
        """The keys of all objects but tombstones."""

    @abstractmethod
    def damage(self, key: str) -> None:
        """Changes every byte of an object."""

    @abstractmethod
    def take_away(self) -> None:
        """From now on nothing can be stored."""

    @abstractmethod
    def give_back(self) -> None:
        """All is as before."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it, in whatever state it is."""


class Directory(Store):
    """A repository in a directory, as on a mounted file server."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "repository"
        self.path.mkdir()
        self.repository = str(self.path)
        self.environment = {}

    def objects(self) -> list[str]:
        keys = sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())
        return [key for key in keys if not is_tombstone(key, lambda key: (self.path / key).read_bytes())]

    def damage(self, key: str) -> None:
        path = self.path / key
        path.write_bytes(path.read_bytes().translate(ANOTHER))

    def take_away(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", self.path], check=True)

    def give_back(self) -> None:
        subprocess.run(["umount", self.path], check=True)

    def stop(self) -> None:
        while self.path.is_mount():
            self.give_back()
