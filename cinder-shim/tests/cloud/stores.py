"""The storages of the tests. Each can be made unavailable and available again."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

# The table for bytes.translate.
ANOTHER = bytes(byte ^ 1 for byte in range(256))


def is_tombstone(key: str, read: Callable[[str], bytes]) -> bool:
    """Whether this is the key of a tombstone, which a deleted backup leaves for a day."""
    return "/manifest-" in key and read(key).startswith(b'{"manifest":{"kind":"tombstone"')


class Store(ABC):
    """A storage for one run of the tests, in their directory."""

    # The values of septet_repository and of its environment file.
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
        """Makes the storage unavailable."""

    @abstractmethod
    def give_back(self) -> None:
        """Makes the storage available again."""

    @abstractmethod
    def stop(self) -> None:
        """Stops it in any state."""


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
