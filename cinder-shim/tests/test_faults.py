"""What goes wrong: cancelled, killed, without its storage, damaged. Nothing is left behind, and the next run works."""

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
    """A volume with something in it."""
    id = cloud.api.create_volume(size_gb, "source")
    cloud.volume(id).write(1, data_mib)
    return id


def remains(store: Store, volume: str) -> list[str]:
    """What lies in the storage of a volume."""
    return [key for key in store.objects() if key.startswith(volume)]


@contextmanager
def taken_away(store: Store) -> Iterator[None]:
    """The time in which the storage can't be used."""
    store.take_away()
    try:
        yield
    finally:
        store.give_back()


def assert_a_sentence(reason: str) -> None:
    """Asserts that a user can read it, and that it fits into the database."""
    assert "\n" not in reason
    assert 0 < len(reason) <= FAIL_REASON_CHARACTERS_MAX


def test_progress_is_told(home: Deployment, source: str) -> None:
    """Notifications say how far a backup is, while it runs and when it is done."""
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
    """A forced deletion stops the run, and takes what it has stored so far."""
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
    """Whoever sets the backup's status during a restore stops it; the volume is in error, the backup is not."""
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
    """After kill -9 nobody reads on, nothing is left, and after the restart all is said and works."""
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
    """After kill -9 nobody writes on, and the restore can be made again."""
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
    """What was to be deleted when the service was killed is deleted when it is back."""
    backup = home.api.back_up(source)["id"]
    os.kill(home.backups["one"].pid, signal.SIGSTOP)
    home.api.request("DELETE", f"/backups/{backup}")
    home.backups["one"].kill_alone()
    home.restart_backup("one")
    home.api.wait_gone("backup", backup)
    assert not remains(store, source)


def test_a_host_that_dies_leaves_nothing_that_hurts(home: Deployment, store: Store, source: str) -> None:
    """Another host of its availability zone restores what it has made, and clears away what it was at."""
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
    """What can't be stored fails with a reason; a service that starts meanwhile waits, and says for what."""
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
        # Its registration counts as a sign of life: it is the last one.
        home.wait_down("one")
    home.wait_ready()
    home.api.delete_backup(failed)
    home.api.back_up(source, incremental=True)


def test_storage_that_restarts_in_the_middle_of_a_backup(home: Deployment, store: Store, source: str) -> None:
    """A backup outlives it, and is whole."""
    backup = home.api.start_backup(source)
    held = Held.backup(home.backups["one"])
    with taken_away(store):
        pass
    held.go_on()
    home.api.wait("backup", backup, "available")
    volumes.assert_same(home.volume(home.api.restore(backup)), home.volume(source))


def test_a_damaged_backup_is_not_restored(home: Deployment, store: Store, source: str, size_gb: int) -> None:
    """Bytes that are not what was backed up never reach a volume, and the user is told."""
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
