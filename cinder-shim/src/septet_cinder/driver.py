"""The backup driver: Cinder's calls, each translated into one run of septet.

A Cinder backup is the Septet backup VOLUME/ID, where VOLUME is the volume's id and ID the backup's. So every
host and every cloud that shares the repository finds it, even if the host that made it crashed before it could
record anything. Only septet decides what is stored of a volume, which blocks an incremental backup needs and
what a deletion removes.
"""

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from cinder import exception, interface, objects
from cinder.backup import driver
from cinder.objects import fields
from cinder.volume import volume_utils
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import units

from septet_cinder import place
from septet_cinder.command import Command, CommandError, Event
from septet_cinder.options import CONF, OPTIONS

LOG = logging.getLogger(__name__)

# The columns fail_reason and container of Cinder's database.
COLUMN_CHARACTERS = 255
# VOLUME/ID. An imported record is untrusted, and its name becomes an argument of a command.
NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}/[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}")
DELETED = (fields.BackupStatus.DELETING, fields.BackupStatus.DELETED)


class SeptetError(exception.BackupDriverException):
    """An error for the user: one sentence that fits into fail_reason."""

    message = "%(reason)s"


class Canceled(Exception):  # noqa: N818 (nothing went wrong)
    """The backup was deleted while it was being made."""


@interface.backupdriver
class SeptetBackupDriver(driver.BackupDriver):
    """Backs up volumes with Septet."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.support_force_delete = True

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        """The driver's options in cinder.conf."""
        return OPTIONS

    def check_for_setup_error(self) -> None:
        """Returns only after a small backup has been made, restored and deleted in the repository.

        Cinder calls this once and does not retry, so this retries. Until it returns the service is down, and the log
        says why.
        """
        if not CONF.septet_repository:
            raise SeptetError(reason="septet_repository is not set in cinder.conf: give a directory or a URL")
        while reason := self._what_is_wrong():
            pause_seconds = CONF.backup_driver_init_check_interval
            LOG.error("The backup service stays down: %s. Trying again in %s s", reason, pause_seconds)
            time.sleep(pause_seconds)
        LOG.info("The repository %s is ready", CONF.septet_repository)

    def _what_is_wrong(self) -> str:
        """The reason why the smoke test fails; empty if it succeeds."""
        try:
            self._septet("smoke")
        except SeptetError as error:
            return str(error)
        return ""

    def backup(self, backup: objects.Backup, volume_file: Any, backup_metadata: bool = True) -> Event | None:
        """Makes a backup. Returns the changes of its record, or None if the backup was deleted meanwhile."""
        backup.container = CONF.septet_repository[:COLUMN_CHARACTERS]
        backup.service_metadata = f"{backup.volume_id}/{backup.id}"
        backup.save()
        parent = self._parent(backup)
        arguments = [*place.arguments(volume_file), "--volume", backup.volume_id, "--id", backup.id, *streams()]
        arguments += ["--parent", parent] if parent else full()
        text = self.get_metadata(backup.volume_id) if backup_metadata else None
        try:
            with metadata_file(text) as metadata:
                arguments += metadata
                watch = self._watch_backup(backup)
                summary = self._septet("backup", "--json", *arguments, watch=watch, volume_file=volume_file)
            if is_deleted(backup):
                raise Canceled
        except Canceled:
            LOG.info("Backup %s was deleted while it was made", backup.id)
            self.delete_backup(backup)
            return None
        self._notify(backup, 100)
        return {
            "object_count": summary["objects"],
            "parent_id": None if CONF.septet_independent_backups else parent,
        }

    def restore(self, backup: objects.Backup, volume_id: str, volume_file: Any, volume_is_new: bool) -> None:
        """Restores a backup to a volume, which is overwritten."""

        def watch(_: Event) -> None:
            if status(backup) != fields.BackupStatus.RESTORING:
                raise exception.BackupRestoreCancel(back_id=backup.id, vol_id=volume_id)

        arguments = [name(backup), *place.arguments(volume_file), "--overwrite", *streams()]
        arguments += ["--zeroed"] if volume_is_new else []
        place.let_go(volume_file)
        try:
            self._septet("restore", "--json", *arguments, watch=watch, volume_file=volume_file)
        except SeptetError as error:
            # Cinder itself sets only the volume's status, error_restoring, and no reason.
            backup.fail_reason = str(error)
            backup.save()
            raise
        volume = objects.Volume.get_by_id(self.context, volume_id)
        place.grow_file(volume_file, volume.size * units.Gi)
        self._restore_metadata(backup, volume_id)
        # An earlier attempt may have set it.
        backup.fail_reason = None
        backup.save()

    def delete_backup(self, backup: objects.Backup) -> None:
        """Deletes a backup, finished or not. A missing backup is not an error."""
        self._septet("delete", "--json", name(backup), "--force")

    def import_record(self, backup: objects.Backup, driver_info: Event) -> None:
        """Checks that the backup of an imported record is in this cloud's repository."""
        self._septet("show", "--json", checked(driver_info.get("name"), backup))

    def export_record(self, backup: objects.Backup) -> Event:
        """The fields of a record besides Cinder's own."""
        return {"name": name(backup)}

    def _parent(self, backup: objects.Backup) -> str | None:
        """The id of the backup to compare with. None if there is no parent, or another driver made it."""
        if not backup.parent_id:
            return None
        parent = objects.Backup.get_by_id(self.context, backup.parent_id)
        if parent.service == backup.service:
            return parent.id
        LOG.info("Backup %s is full, as its parent %s was made by %s", backup.id, parent.id, parent.service)
        return None

    def _watch_backup(self, backup: objects.Backup) -> Callable[[Event], None]:
        next_notification = time.monotonic() + CONF.backup_timer_interval

        def watch(progress: Event) -> None:
            nonlocal next_notification
            if is_deleted(backup):
                raise Canceled
            if progress.get("bytes_total") and time.monotonic() >= next_notification:
                self._notify(backup, progress["bytes_done"] * 100 // progress["bytes_total"])
                next_notification += CONF.backup_timer_interval

        return watch

    def _notify(self, backup: objects.Backup, percent: int) -> None:
        extra = {"backup_percent": percent}
        volume_utils.notify_about_backup_usage(self.context, backup, "createprogress", extra_usage_info=extra)

    def _restore_metadata(self, backup: objects.Backup, volume_id: str) -> None:
        metadata = self._septet("show", "--json", name(backup)).get("extensions", {}).get("metadata")
        if metadata:
            self.put_metadata(volume_id, json.dumps(metadata))

    def _septet(
        self,
        command: str,
        *arguments: str,
        watch: Callable[[Event], None] = lambda _: None,
        volume_file: Any = None,
    ) -> Event:
        septet = Command(
            CONF.septet_binary,
            CONF.septet_repository,
            CONF.septet_environment_file,
            CONF.septet_timeout,
            place.environment(volume_file),
        )
        try:
            return septet.run([command, *arguments], watch)
        except CommandError as error:
            raise SeptetError(reason=sentence(str(error))) from error


def name(backup: objects.Backup) -> str:
    """The backup's name in septet: the recorded one, or VOLUME/ID if none was recorded."""
    return checked(backup.service_metadata or f"{backup.volume_id}/{backup.id}", backup)


def checked(text: Any, backup: objects.Backup) -> str:
    """Returns the name of a Septet backup. Raises SeptetError if it does not belong to this Cinder backup."""
    if isinstance(text, str) and NAME.fullmatch(text) and text.endswith(f"/{backup.id}"):
        return text
    raise SeptetError(reason=sentence(f"the record's {text!r} is not this backup: it should be VOLUME/{backup.id}"))


def full() -> list[str]:
    """The arguments of a full backup."""
    return ["--full", "--block-size", CONF.septet_block_size] if CONF.septet_block_size else ["--full"]


def streams() -> list[str]:
    """The arguments for the number of parallel reads or writes; empty if septet decides."""
    return ["--streams", str(CONF.septet_streams)] if CONF.septet_streams else []


def status(backup: objects.Backup) -> str:
    """The backup's current status in the database, even if it is deleted."""
    with backup.as_read_deleted():
        backup.refresh()
    return backup.status


def is_deleted(backup: objects.Backup) -> bool:
    """Whether the backup is deleted or being deleted."""
    return status(backup) in DELETED


@contextlib.contextmanager
def metadata_file(text: str | None) -> Iterator[list[str]]:
    """The arguments that pass the volume's metadata to septet, in a file that only this user can read."""
    if not text:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", prefix="septet-metadata-", suffix=".json") as file:
        file.write(text)
        file.flush()
        yield ["--metadata", file.name]


def sentence(text: str) -> str:
    """The text as one line, shortened to fit into a column of the database."""
    text = " ".join(text.split())
    return text if len(text) <= COLUMN_CHARACTERS else text[: COLUMN_CHARACTERS - 1] + "…"
