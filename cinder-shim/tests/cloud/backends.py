"""A cloud's volume backend: its section of cinder.conf, and direct access to each volume."""

from abc import ABC, abstractmethod
from pathlib import Path

from cloud import loop_driver
from cloud.volumes import FileVolume, Volume


class Backend(ABC):
    """A volume backend; `name` is the name of its section in cinder.conf."""

    name: str

    @abstractmethod
    def configuration(self) -> str:
        """The lines of its section."""

    @abstractmethod
    def volume(self, id: str) -> Volume:
        """Direct access to a volume's storage."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of everything that Cinder created in it."""

    @abstractmethod
    def stop(self) -> None:
        """Releases all volumes."""


class Loop(Backend):
    """Block devices: files behind loop devices."""

    name = "loop"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)

    def configuration(self) -> str:
        return f"volume_driver=cloud.loop_driver.LoopDriver\nloop_directory={self.directory}\n"

    def volume(self, id: str) -> Volume:
        return FileVolume(self.directory / f"volume-{id}")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def stop(self) -> None:
        for file in self.directory.iterdir():
            loop_driver.detach(file)
