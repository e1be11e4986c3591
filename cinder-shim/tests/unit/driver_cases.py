"""Cinder's own tests of a backup driver, adapted to this driver, and tests of its promises. Volumes are files.

Cinder's test classes need their own runner: python3 -m testtools.run unit.driver_cases, with SEPTET in the environment.
"""

import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.backup.drivers.test_backup_driver_base import BackupBaseDriverTestCase as BaseDriverTestCase

from septet_cinder import place
from septet_cinder.backup.drivers.ceph import SeptetBackupDriver
from septet_cinder.command import Command
from septet_cinder.driver import SeptetError, name
from septet_cinder.options import CONF

SERVICE = "septet_cinder.backup.drivers.ceph.SeptetBackupDriver"
MIB = 1 << 20
CONTENT = os.urandom(MIB) + bytes(MIB) + os.urandom(MIB)


class SeptetDriverTestCase(BaseDriverTestCase):
    """Inherits Cinder's tests of get_metadata and put_metadata, and replaces the tests that a driver must adapt."""

    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        CONF.set_override("septet_binary", os.environ["SEPTET"])
        CONF.set_override("septet_repository", str(self.directory / "repository"))
        self.notified = self.enterContext(mock.patch("cinder.volume.volume_utils.notify_about_backup_usage"))
        self.driver = SeptetBackupDriver(self.ctxt)
        self.source = self.file("source", CONTENT)
        self._set(self.backup, service=SERVICE, status="creating")

    def file(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def _set(self, backup: objects.Backup, **values: Any) -> None:
        backup.update(values)
        backup.save()

    def _another(self, id: str, **values: Any) -> objects.Backup:
        self._create_backup_db_entry(id, self.volume_id, 1)
        backup = objects.Backup.get_by_id(self.ctxt, id)
        self._set(backup, service=SERVICE, status="creating", **values)
        return backup

    def _back_up(self, backup: objects.Backup) -> dict | None:
        with self.source.open("rb") as file:
            updates = self.driver.backup(backup, file)
        self._set(backup, status="restoring", **updates or {})
        return updates

    def _restore(self, backup: objects.Backup, new: bool = False) -> bytes:
        target = self.directory / "target"
        with target.open("wb") as file:
            self.driver.restore(backup, self.volume_id, file, new)
        assert target.stat().st_size == 1 << 30, "the volume's size is that of Cinder"
        return target.read_bytes()[: len(CONTENT)]

    def _fails(self, call: Any, *arguments: Any) -> str:
        reason = str(self.assertRaises(SeptetError, call, *arguments))
        assert 0 < len(reason) <= 255 and "\n" not in reason, reason
        return reason

    def test_export_record(self) -> None:
        self.assertEqual({"name": f"{self.volume_id}/{self.backup_id}"}, self.driver.export_record(self.backup))

    def test_import_record(self) -> None:
        self._back_up(self.backup)
        self.assertIsNone(self.driver.import_record(self.backup, self.driver.export_record(self.backup)))
        elsewhere = {"name": f"v/{self.backup_id}"}
        self.assertIn("no backup", self._fails(self.driver.import_record, self.backup, elsewhere))
        for wrong in (None, 7, f"--repo=/{self.backup_id}", f"a/../{self.backup_id}", "v/another"):
            self.assertIn("not this backup", self._fails(self.driver.import_record, self.backup, {"name": wrong}))

    def test_a_name_from_a_record_is_never_an_option(self) -> None:
        self._set(self.backup, service_metadata="-v/--force")
        self._fails(name, self.backup)

    def test_full_incremental_and_back(self) -> None:
        updates = self._back_up(self.backup)
        self.assertEqual({"object_count": 4, "parent_id": None}, updates)
        self.assertEqual(str(self.directory / "repository"), self.backup.container)
        changed = os.urandom(MIB) + CONTENT[MIB:]
        self.file("source", changed)
        second = self._another(fake.BACKUP2_ID, parent_id=self.backup_id)
        self.assertEqual({"object_count": 4, "parent_id": self.backup_id}, self._back_up(second))
        self.assertEqual(changed, self._restore(second))
        self.driver.delete_backup(self.backup)
        self.assertEqual(changed, self._restore(second, new=True))
        self.assertEqual(100, self.notified.call_args.kwargs["extra_usage_info"]["backup_percent"])

    def test_independent_backups_have_no_parent(self) -> None:
        self._back_up(self.backup)
        CONF.set_override("septet_independent_backups", True)
        second = self._another(fake.BACKUP2_ID, parent_id=self.backup_id)
        self.assertEqual({"object_count": 3, "parent_id": None}, self._back_up(second))

    def test_another_drivers_parent_makes_a_full_backup(self) -> None:
        self._set(self.backup, service="cinder.backup.drivers.s3.S3BackupDriver")
        second = self._another(fake.BACKUP2_ID, parent_id=self.backup_id)
        self.assertIsNone(self._back_up(second)["parent_id"])

    def test_metadata_goes_with_the_backup(self) -> None:
        kept = self.driver.get_metadata(self.volume_id)
        self._back_up(self.backup)
        with mock.patch.object(self.driver, "put_metadata") as put:
            self._restore(self.backup)
        self.assertEqual(json.loads(kept), json.loads(put.call_args.args[1]))

    def test_a_backup_that_is_deleted_meanwhile_leaves_nothing(self) -> None:
        with mock.patch("septet_cinder.driver.is_deleted", return_value=True):
            self.assertIsNone(self._back_up(self.backup))
        self._set(self.backup, status="restoring")
        self.assertIn("no backup", self._fails(self._restore, self.backup))

    def test_a_restore_whose_backup_is_reset_is_cancelled(self) -> None:
        self._back_up(self.backup)
        self._set(self.backup, status="available")
        run = Command.run
        with (
            mock.patch.object(Command, "run", lambda self, line, watch: (watch({}), run(self, line, watch))[1]),
            self.source.open("wb") as file,
        ):
            restore = (self.driver.restore, self.backup, self.volume_id, file, False)
            self.assertRaises(exception.BackupRestoreCancel, *restore)

    def test_a_failure_is_one_sentence_for_the_user(self) -> None:
        CONF.set_override("septet_repository", f"/proc/{'x' * 200}\n{'y' * 200}")
        self.assertTrue(self._fails(self._back_up, self.backup).endswith("…"))
        self._fails(self._restore, self.backup)
        self.assertIn("/proc/xxx", self.backup.fail_reason)
        CONF.set_override("septet_repository", str(self.directory / "repository"))
        self._back_up(self.backup)
        self._restore(self.backup)
        self.assertIsNone(self.backup.fail_reason)

    def test_deleting_what_never_was_is_no_error(self) -> None:
        self.driver.check_for_setup_error()
        self.driver.delete_backup(self.backup)
        self.assertTrue(self.driver.support_force_delete)

    def test_a_repository_must_be_named(self) -> None:
        CONF.set_override("septet_repository", None)
        self.assertIn("septet_repository", self._fails(self.driver.check_for_setup_error))

    def test_the_check_waits_for_the_storage(self) -> None:
        there = CONF.septet_repository
        CONF.set_override("septet_repository", "/proc/none")

        def sleep(seconds: float) -> None:
            self.assertEqual(CONF.backup_driver_init_check_interval, seconds)
            CONF.set_override("septet_repository", there)

        with mock.patch("septet_cinder.driver.time.sleep", side_effect=sleep) as slept:
            self.driver.check_for_setup_error()
        slept.assert_called_once()

    def test_volumes_are_named_as_septet_opens_them(self) -> None:
        link = self.directory / "link"
        link.symlink_to(self.source)
        with link.open("rb") as file:
            self.assertEqual([str(self.source)], place.arguments(file))
        image = SimpleNamespace(name="volume-1")
        rbd = SimpleNamespace(rbd_image=image, rbd_pool="volumes", rbd_user="cinder", rbd_conf="/tmp/brick")
        self.assertEqual(["rbd:volumes/volume-1", "--ceph-user", "cinder"], place.arguments(rbd))
        self.assertEqual({"CEPH_CONF": "/tmp/brick"}, place.environment(rbd))

    def test_the_path_in_cinder_conf_is_one_that_cinder_knows(self) -> None:
        self.assertIn("backup.drivers.ceph", SERVICE)
        self.assertNotIn("posix", SERVICE)


# Otherwise the runner would also run the imported class as a test.
del BaseDriverTestCase
