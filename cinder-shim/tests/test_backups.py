"""The everyday operations: back up, restore, delete."""

from pathlib import Path

import pytest
from cloud import volumes
from cloud.api import ApiError
from cloud.deployment import Deployment
from cloud.stores import Store
from marks import on_both

# The limit for cinder-backup itself; it uses about 145 MiB before its first backup.
MEMORY_MIB_MAX = 200


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Files for a file system."""
    directory = tmp_path / "content"
    directory.mkdir()
    for number in range(50):
        (directory / f"file{number}").write_text(f"{number}\n" * 10_000)
    return directory


@on_both
def test_a_chain_restores_to_the_same_another_and_a_new_volume(
    cloud: Deployment,
    store: Store,
    tmp_path: Path,
    content: Path,
    size_gb: int,
    data_mib: int,
) -> None:
    """A full backup, an incremental, and an incremental of an attached volume each restore what was backed up."""
    api = cloud.api
    source = api.create_volume(size_gb, "source", metadata={"purpose": "test"})
    volume = cloud.volume(source)
    volumes.make_file_system(volume, content)
    volume.write(size_gb * 1024 - data_mib, data_mib)
    kept = [volume.keep(tmp_path / "full")]
    full = api.back_up(source)

    volumes.add_file(volume, content / "file1")
    kept.append(volume.keep(tmp_path / "first"))
    first = api.back_up(source, incremental=True)

    volume.write(size_gb * 1024 - 8, 2)
    kept.append(volume.keep(tmp_path / "second"))
    with api.attached(source):
        second = api.back_up(source, incremental=True, force=True)

    assert [backup["is_incremental"] for backup in (full, first, second)] == [False, True, True]
    assert all(backup["object_count"] >= 3 for backup in (full, first, second))
    assert api.get("backup", full["id"])["has_dependent_backups"]
    assert f"{source}/{second['id']}/manifest-0.json" in store.objects()

    other = api.create_volume(size_gb + 1, "other")
    cloud.volume(other).write(1, 3)
    api.restore(full["id"], other)
    volumes.assert_same(cloud.volume(other), kept[0])
    volumes.check_file_system(cloud.volume(other))

    new = api.restore(second["id"])
    volumes.assert_same(cloud.volume(new), kept[2])
    volumes.check_file_system(cloud.volume(new))
    restored = api.get("volume", new)
    assert (restored["name"], restored["metadata"]["purpose"]) == ("source", "test")
    # Blocks of zeros were not written.
    assert cloud.volume(new).stored_bytes() < (2 * data_mib + 64) << 20

    api.restore(first["id"], source)
    volumes.assert_same(volume, kept[1])

    assert cloud.backups["one"].memory_peak_mib() <= MEMORY_MIB_MAX

    with pytest.raises(ApiError, match="Incremental backups exist"):
        api.delete_backup(full["id"])
    for backup in (second, first, full):
        api.delete_backup(backup["id"])
    assert not [key for key in store.objects() if key.startswith(source)]


def test_an_extended_volume_is_backed_up_to_its_end(home: Deployment, tmp_path: Path, size_gb: int) -> None:
    """An incremental backup of a volume that was extended after its parent."""
    api = home.api
    source = api.create_volume(size_gb, "grows")
    home.volume(source).write(0, 2)
    api.back_up(source)
    api.action("volume", source, "os-extend", new_size=size_gb + 1)
    api.wait("volume", source, "available")
    home.volume(source).write(size_gb * 1024 + 5, 2)
    kept = home.volume(source).keep(tmp_path / "kept")
    new = api.restore(api.back_up(source, incremental=True)["id"])
    volumes.assert_same(home.volume(new), kept)


def test_a_snapshot_is_backed_up(home: Deployment, tmp_path: Path, size_gb: int) -> None:
    """A backup of a snapshot holds the content of the volume at that time."""
    api = home.api
    source = api.create_volume(size_gb, "snapped")
    home.volume(source).write(7, 2)
    kept = home.volume(source).keep(tmp_path / "kept")
    snapshot = api.request("POST", "/snapshots", {"snapshot": {"volume_id": source}})["snapshot"]["id"]
    api.wait("snapshot", snapshot, "available")
    home.volume(source).write(7, 2)
    new = api.restore(api.back_up(source, snapshot_id=snapshot)["id"])
    volumes.assert_same(home.volume(new), kept)


def test_several_backups_at_once(home: Deployment, size_gb: int) -> None:
    """Backups and restores of several volumes run in parallel."""
    api = home.api
    sources = [api.create_volume(size_gb, f"side {number}") for number in range(3)]
    for source in sources:
        home.volume(source).write(1, 8)
    backups = [api.start_backup(source) for source in sources]
    for backup in backups:
        api.wait("backup", backup, "available")
    restored = [api.create_volume(size_gb, f"restored {number}") for number in range(3)]
    for backup, volume in zip(backups, restored, strict=True):
        api.start_restore(backup, volume)
    for backup, volume, source in zip(backups, restored, sources, strict=True):
        api.wait("backup", backup, "available")
        api.wait("volume", volume, "available")
        volumes.assert_same(home.volume(volume), home.volume(source))


def test_a_record_is_imported_by_another_cloud(home: Deployment, away: Deployment, size_gb: int) -> None:
    """An incremental restores in another cloud from the repository and its record alone."""
    source = home.api.create_volume(size_gb, "travels")
    home.volume(source).write(3, 8)
    home.api.back_up(source)
    home.volume(source).write(5, 2)
    backup = home.api.back_up(source, incremental=True)["id"]
    record = home.api.request("GET", f"/backups/{backup}/export_record")
    away.api.request("POST", "/backups/import_record", record)
    away.api.wait("backup", backup, "available")
    new = away.api.restore(backup)
    volumes.assert_same(away.volume(new), home.volume(source))
    assert away.api.get("volume", new)["name"] == "travels"


def test_a_record_of_what_is_not_there_is_refused(home: Deployment, away: Deployment, size_gb: int) -> None:
    """A backup that is not in the repository cannot be imported, and the record names the reason."""
    source = home.api.create_volume(size_gb, "lost")
    backup = home.api.back_up(source)["id"]
    record = home.api.request("GET", f"/backups/{backup}/export_record")
    home.api.delete_backup(backup)
    away.api.request("POST", "/backups/import_record", record)
    reason = away.api.wait("backup", backup, "error")["fail_reason"]
    assert f"there is no backup {source}/{backup}" in reason, reason


def test_any_backup_of_independent_ones_can_be_deleted(home: Deployment, store: Store, size_gb: int) -> None:
    """Deletes the middle backup, then the oldest: the newest still restores."""
    api = home.api
    source = api.create_volume(size_gb, "independent")
    backups = []
    for number in range(3):
        home.volume(source).write(number, 8)
        backups.append(api.back_up(source, incremental=number > 0, availability_zone="two"))
    for doomed in (1, 0):
        api.delete_backup(backups[doomed]["id"])
        volumes.assert_same(home.volume(api.restore(backups[2]["id"])), home.volume(source))
    # The third stored little: it is not a full backup, although Cinder shows it as one.
    assert backups[2]["object_count"] == backups[0]["object_count"]
    api.delete_backup(backups[2]["id"])
    assert not [key for key in store.objects() if key.startswith(source)]
