"""Cinder's chunked driver (its POSIX one) without Cinder's services: the driver's own code, called as the backup manager
does, with the database in a JSON file. What the services, the queue and Python's start cost is left out, in the
driver's favour: it prints as JSON what the driver alone took.

    cinder_chunked.py [--compression zlib] [--parent ID] DIR backup ID VOLUME
    cinder_chunked.py [--compression zlib] DIR restore ID TARGET
    cinder_chunked.py version
"""

import argparse
import contextlib
import json
import time
from pathlib import Path
from unittest import mock

from cinder import context, objects
from cinder.backup.drivers import posix
from cinder.objects import fields
from cinder.version import version_info
from oslo_config import cfg

VOLUME = "00000000-0000-4000-8000-000000000001"


class Backup(dict):
    """A row of the table of backups, with as much of an object as the driver asks for."""

    def __missing__(self, name: str) -> None:
        """What was never set."""

    def __getattr__(self, name: str) -> object:
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def save(self) -> None:
        """Writes the row."""
        Path(self["file"]).write_text(json.dumps(self))

    def refresh(self) -> None:
        """Nobody else writes it."""

    @contextlib.contextmanager
    def as_read_deleted(self):
        """Nobody deletes it."""
        yield


def row(directory: Path, name: str, **given: object) -> Backup:
    """The backup of that name, with what is `given`."""
    file = directory / f"{name}.json"
    held = json.loads(file.read_text()) if file.exists() else {"id": name, "volume_id": VOLUME, "size": 1}
    return Backup(held, file=str(file), **given)


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("action", nargs="?", choices=("backup", "restore"))
    parser.add_argument("backup", nargs="?")
    parser.add_argument("volume", nargs="?")
    parser.add_argument("--parent")
    parser.add_argument("--compression", default="zlib")
    arguments = parser.parse_args()
    if str(arguments.directory) == "version":
        print(f"cinder {version_info.release_string()}")
        return
    objects.register_all()
    directory = arguments.directory
    cfg.CONF([], project="cinder", default_config_files=[])
    cfg.CONF.set_override("backup_posix_path", str(directory))
    cfg.CONF.set_override("backup_compression_algorithm", arguments.compression)
    cfg.CONF.set_override("connection", "sqlite://", "database")
    with mock.patch("cinder.volume.volume_utils.notify_about_backup_usage"):
        driver = posix.PosixBackupDriver(context.get_admin_context())
        driver.db = mock.Mock(volume_get=lambda *_: {"id": VOLUME, "size": 1})
        objects.Backup.get_by_id = lambda _, name: row(directory, name)
        wall, cpu = time.monotonic(), time.process_time()
        run(driver, arguments)
        print(json.dumps({"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}))


def run(driver: posix.PosixBackupDriver, arguments: argparse.Namespace) -> None:
    """One backup, or one restore."""
    if arguments.action == "backup":
        size = Path(arguments.volume).stat().st_size
        given = {"parent_id": arguments.parent, "volume_bytes": size, "status": fields.BackupStatus.CREATING}
        backup = row(arguments.directory, arguments.backup, **given)
        with open(arguments.volume, "rb") as volume:
            driver.backup(backup, volume, backup_metadata=False)
        return
    backup = row(arguments.directory, arguments.backup, status=fields.BackupStatus.RESTORING)
    with open(arguments.volume, "wb") as target:
        # As a new volume has its size before Cinder restores to it: it skips zeros, also at the end.
        target.truncate(backup["volume_bytes"])
        driver.restore(backup, VOLUME, target, True)


if __name__ == "__main__":
    main()
