"""Faults: runs cancelled or killed, storage unavailable, data damaged. No leftovers remain, and the next run works."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cloud import volumes
from cloud.deployment import Deployment
from cloud.processes import Held, wait_until
from cloud.stores import Store
from marks import on_both

FAIL_REASON_CHARACTERS_MAX = 255


@pytest.fixture
def source(cloud: Deployment, size_gb: int, data_mib: int) -> str:
    """A volume with data."""
    id = cloud.api.create_volume(size_gb, "source")
    cloud.volume(id).write(1, data_mib)
    return id


def remains(store: Store, volume: str) -> list[str]:
    """The objects of a volume in the storage."""
    return [key for key in store.objects() if key.startswith(volume)]


@contextmanager
def taken_away(store: Store) -> Iterator[None]:
    """Makes the storage unavailable for the duration of the context."""
    store.take_away()
    try:
        yield
    finally:
        store.give_back()


def assert_a_sentence(reason: str) -> None:
    """Asserts that the reason is readable and fits into the database."""
    assert "\n" not in reason
    assert 0 < len(reason) <= FAIL_REASON_CHARACTERS_MAX


def test_progress_is_told(home: Deployment, source: str) -> None:
    """Notifications report the progress of a backup while it runs and when it is done."""
    backup = home.api.start_backup(source)
    held = Held.backup(home.backups["one"])
    found = re.compile(r"backup\.createprogress .*?\] (\{.*)")

    def percents() -> list[int]:
        payloads = [json.loads(text)["payload"] for text in found.findall(home.backups["one"].log())]
        return [payload["backup_percent"] for payload in payloads if payload["backup_id"] == backup]

    assert wait_until(percents, "a notification")[0] < 100
    held.go_on()
    home.api.wait("backup", backup, "available")
    assert percents()[-1] == 100


@on_both
def test_a_running_backup_is_cancelled_by_its_deletion(cloud: Deployment, store: Store, source: str) -> None:
    """A forced deletion stops the run and removes what it has stored so far."""
    backup = cloud.api.start_backup(source)
    held = Held.backup(cloud.backups["one"])
    assert remains(store, source)
    cloud.api.delete_backup(backup, force=True)
    held.wait_gone()
    cloud.api.wait("volume", source, "available")
    assert not remains(store, source)
    cloud.api.back_up(source)


@on_both
def test_a_running_restore_is_cancelled_by_a_reset(cloud: Deployment, source: str, size_gb: int) -> None:
    """Setting the backup's status during a restore stops it. The volume is then in error, the backup is not."""
    backup = cloud.api.back_up(source)["id"]
    target = cloud.api.create_volume(size_gb, "target")
    cloud.api.start_restore(backup, target)
    held = Held.restore(cloud.backups["one"], cloud.volume(target))
    cloud.api.action("backup", backup, "os-reset_status", status="available")
    held.wait_gone()
    cloud.api.wait("volume", target, "error")
    volumes.assert_same(cloud.volume(cloud.api.restore(backup)), cloud.volume(source))


@on_both
def test_a_backup_service_that_is_killed_takes_its_backup_with_it(cloud: Deployment, store: Store, source: str) -> None:
    """After kill -9 septet stops and leaves nothing. After the restart the failure is reported and backups work."""
    backup = cloud.api.start_backup(source)
    held = Held.backup(cloud.backups["one"])
    cloud.backups["one"].kill_alone()
    held.wait_gone()
    assert not remains(store, source)
    cloud.restart_backup("one")
    assert "restart" in cloud.api.wait("backup", backup, "error")["fail_reason"]
    cloud.api.wait("volume", source, "available")
    cloud.api.delete_backup(backup)
    cloud.api.back_up(source)


@on_both
def test_a_backup_service_that_is_killed_takes_its_restore_with_it(
    cloud: Deployment, source: str, size_gb: int
) -> None:
    """After kill -9 septet stops writing, and the restore can be repeated."""
    backup = cloud.api.back_up(source)["id"]
    target = cloud.api.create_volume(size_gb, "target")
    cloud.api.start_restore(backup, target)
    held = Held.restore(cloud.backups["one"], cloud.volume(target))
    cloud.backups["one"].kill_alone()
    held.wait_gone()
    cloud.restart_backup("one")
    cloud.api.wait("volume", target, "error_restoring")
    cloud.api.wait("backup", backup, "available")
    cloud.api.action("volume", target, "os-reset_status", status="available")
    cloud.api.restore(backup, target)
    volumes.assert_same(cloud.volume(target), cloud.volume(source))


def test_a_deletion_goes_on_after_a_restart(home: Deployment, store: Store, source: str) -> None:
    """A deletion that was interrupted by kill -9 is completed after the restart."""
    backup = home.api.back_up(source)["id"]
    os.kill(home.backups["one"].pid, signal.SIGSTOP)
    home.api.request("DELETE", f"/backups/{backup}")
    home.backups["one"].kill_alone()
    home.restart_backup("one")
    home.api.wait_gone("backup", backup)
    assert not remains(store, source)


def test_a_host_that_dies_leaves_nothing_that_hurts(home: Deployment, store: Store, source: str) -> None:
    """Another host of the availability zone restores the host's backups and deletes its unfinished one."""
    whole = home.api.back_up(source, availability_zone="two")["id"]
    half = home.api.start_backup(source, availability_zone="two", incremental=True)
    held = Held.backup(home.backups["two"])
    home.backups["two"].kill_alone()
    held.kill_all()
    held.wait_gone()
    home.backups.pop("two")
    assert any(half in key for key in remains(store, source))
    home.wait_down("two")
    home.start_backup("three", storage_availability_zone="two", septet_independent_backups=True)
    volumes.assert_same(home.volume(home.api.restore(whole)), home.volume(source))
    home.api.action("backup", half, "os-reset_status", status="error")
    home.api.wait("backup", half, "error")
    home.api.delete_backup(half)
    assert not any(half in key for key in remains(store, source))
    home.api.delete_backup(whole)
    assert not remains(store, source)


def test_storage_that_is_away_and_comes_back(home: Deployment, store: Store, source: str, size_gb: int) -> None:
    """Without storage a backup fails with a reason. A service that starts then waits, and its log says why."""
    backup = home.api.back_up(source)["id"]
    target = home.api.create_volume(size_gb, "target")
    with taken_away(store):
        failed = home.api.start_backup(source)
        assert_a_sentence(home.api.wait("backup", failed, "error")["fail_reason"])
        home.api.wait("volume", source, "available")
        home.api.start_restore(backup, target)
        home.api.wait("volume", target, "error_restoring")
        assert_a_sentence(home.api.wait("backup", backup, "available")["fail_reason"])
        home.kill_backup("one")
        service = home.restart_backup("one", wait=False)
        said = "The backup service stays down: "
        wait_until(lambda: said in service.log(), "the reason in the log")
        # The registration counts as a heartbeat: it is the last one.
        home.wait_down("one")
    home.wait_ready()
    home.api.delete_backup(failed)
    home.api.back_up(source, incremental=True)


def test_storage_that_restarts_in_the_middle_of_a_backup(home: Deployment, store: Store, source: str) -> None:
    """A backup survives it and is complete."""
    backup = home.api.start_backup(source)
    held = Held.backup(home.backups["one"])
    with taken_away(store):
        pass
    held.go_on()
    home.api.wait("backup", backup, "available")
    volumes.assert_same(home.volume(home.api.restore(backup)), home.volume(source))


def test_a_damaged_backup_is_not_restored(home: Deployment, store: Store, source: str, size_gb: int) -> None:
    """Damaged data never reach a volume, and the restore fails with a reason."""
    backup = home.api.back_up(source)["id"]
    store.damage(f"{source}/{backup}/segments/000000")
    target = home.api.create_volume(size_gb, "target")
    home.api.start_restore(backup, target)
    home.api.wait("volume", target, "error_restoring")
    reason = home.api.wait("backup", backup, "available")["fail_reason"]
    assert_a_sentence(reason)
    assert "damaged" in reason


def test_the_driver_before_and_after(home: Deployment, tmp_path: Path, size_gb: int) -> None:
    """After a change from the stock driver the next backup is full, and the old one restores with the old driver."""
    api = home.api
    posix = {
        "backup_driver": "cinder.backup.drivers.posix.PosixBackupDriver",
        "backup_posix_path": tmp_path,
        "backup_compression_algorithm": "none",
    }
    zone = {"availability_zone": "changes"}
    home.start_backup("changing", storage_availability_zone="changes", **posix)
    source = api.create_volume(size_gb, "source")
    home.volume(source).write(1, 4)
    kept = home.volume(source).keep(tmp_path / "kept")
    old = api.back_up(source, **zone)["id"]

    home.kill_backup("changing")
    home.start_backup("changing", storage_availability_zone="changes")
    home.volume(source).write(2, 4)
    new = api.back_up(source, incremental=True, **zone)
    assert not new["is_incremental"]
    volumes.assert_same(home.volume(api.restore(new["id"])), home.volume(source))

    home.kill_backup("changing")
    home.start_backup("changing", storage_availability_zone="changes", **posix)
    volumes.assert_same(home.volume(api.restore(old)), kept)
    home.kill_backup("changing")
