"""A Cinder volume driver whose volumes are sparse files, attached as loop devices: real block devices on any host."""

import contextlib
import os
from pathlib import Path
from typing import Any

from cinder import interface
from cinder.volume import configuration, driver
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_utils import units

OPTIONS = [cfg.StrOpt("loop_directory", help="Where the files are.")]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)


def execute(*words: str) -> list[str]:
    """Runs a command. Returns the lines that it prints."""
    return processutils.execute(*words)[0].split("\n")[:-1]


@interface.volumedriver
class LoopDriver(driver.VolumeDriver):
    """Volumes in files behind loop devices."""

    VERSION = "1"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        self.directory = Path(self.configuration.loop_directory)

    def do_setup(self, context: Any) -> None:
        """Does nothing: there is nothing to set up."""

    def check_for_setup_error(self) -> None:
        """Does nothing: there is nothing to check."""

    def _copy(self, old: str, new: str, size_gb: int) -> None:
        execute("cp", "--sparse=always", str(self.directory / old), str(self.directory / new))
        os.truncate(self.directory / new, size_gb * units.Gi)

    def _delete(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)

    def create_volume(self, volume: Any) -> None:
        """Creates a file of zeros."""
        with (self.directory / volume.name).open("wb") as file:
            file.truncate(volume.size * units.Gi)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Copies a file. A volume in use is backed up from such a copy."""
        self._copy(src_vref.name, volume.name, volume.size)

    def create_snapshot(self, snapshot: Any) -> None:
        """Copies a file."""
        self._copy(snapshot.volume.name, snapshot.name, snapshot.volume.size)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Copies a file."""
        self._copy(snapshot.name, volume.name, volume.size)

    def delete_volume(self, volume: Any) -> None:
        """Deletes the file."""
        self._delete(volume.name)

    def delete_snapshot(self, snapshot: Any) -> None:
        """Deletes the file."""
        self._delete(snapshot.name)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Extends the file."""
        os.truncate(self.directory / volume.name, new_size * units.Gi)

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        """Attaches the file."""
        file = str(self.directory / volume.name)
        [device] = execute("losetup", "--find", "--show", "--direct-io=on", file)
        return {"driver_volume_type": "local", "data": {"device_path": device}}

    def terminate_connection(self, volume: Any, connector: Any, **_: Any) -> None:
        """Detaches the file, however often it is attached."""
        detach(self.directory / volume.name)

    initialize_connection_snapshot = initialize_connection
    terminate_connection_snapshot = terminate_connection

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Does nothing: volumes are not exported."""

    ensure_export = remove_export = create_export_snapshot = remove_export_snapshot = lambda *_, **__: None

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        """Reports enough space for all volumes of the tests."""
        room = {"total_capacity_gb": 1000, "free_capacity_gb": 900, "reserved_percentage": 0}
        name = self.configuration.safe_get("volume_backend_name")
        return {
            "volume_backend_name": name,
            "vendor_name": "septet",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "pools": [{"pool_name": "pool", **room}],
        }


def detach(file: Path) -> None:
    """Detaches a file's loop devices."""
    for device in execute("losetup", "--noheadings", "--output", "NAME", "--associated", str(file)):
        with contextlib.suppress(processutils.ProcessExecutionError):
            execute("losetup", "--detach", device)
