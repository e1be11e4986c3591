"""Behaviour of Ceph images only: what a backup reads, and which snapshots stay in an image."""

import re
from pathlib import Path

import rbd
from cloud import volumes
from cloud.ceph import Image
from cloud.deployment import Deployment
from cloud.processes import wait_until
from cloud.volumes import MIB


def image_of(cloud: Deployment, volume: str) -> Image:
    """The image behind a volume."""
    image = cloud.volume(volume)
    assert isinstance(image, Image)
    return image


def bytes_read(cloud: Deployment, backup: str) -> int:
    """The bytes that septet read of the volume for a backup."""
    [found] = re.findall(rf"'--id', '{backup}'.*'bytes_read': (\d+)", cloud.backups["one"].log())
    return int(found)


def test_an_image_in_use_is_read_itself_through_a_snapshot(away: Deployment, tmp_path: Path, size_gb: int) -> None:
    """Cinder creates no temporary volume or image, only changes are read, and the image may stay in use."""
    api = away.api
    source = api.create_volume(size_gb, "used")
    image = image_of(away, source)
    image.write(0, 64)
    full = api.back_up(source)["id"]
    assert [name.endswith(f"+{source}+{full}") for name in image.snapshots()] == [True]
    images, seen = away.backend.names(), set()
    with image.open() as used, api.attached(source):
        # Now this client holds the image's lock, as a virtual machine does.
        used.write(b"used" * 1024, 128 * MIB)
        used.flush()
        kept = image.keep(tmp_path / "kept")
        backup = api.start_backup(source, incremental=True, force=True)

        def look() -> bool:
            seen.update(away.backend.names())
            assert len(api.request("GET", "/volumes?all_tenants=1&name=used")["volumes"]) == 1
            return api.get("backup", backup)["status"] in ("available", "error")

        wait_until(look, "the backup")
        api.wait("backup", backup, "available")
        used.write(b"later" * 1024, 128 * MIB)
    assert seen == set(images)
    assert [name.endswith(f"+{source}+{backup}") for name in image.snapshots()] == [True]
    # At most one object of 4 MiB, and one block in a hundred to check what Ceph reports.
    assert bytes_read(away, backup) <= (4 + size_gb * 1024 // 100 + 1) * MIB
    volumes.assert_same(away.volume(api.restore(backup)), kept)


def test_septets_snapshot_does_not_keep_a_volume(away: Deployment, tmp_path: Path, size_gb: int) -> None:
    """Cinder deletes a volume that has backups, and its image. The backups stay."""
    api = away.api
    source = api.create_volume(size_gb, "goes")
    image = image_of(away, source)
    image.write(1, 4)
    kept = image.keep(tmp_path / "kept")
    backup = api.back_up(source)["id"]
    assert image.snapshots()
    api.delete_volume(source)
    assert image.name not in away.backend.names()
    assert not [found for found in rbd.RBD().trash_list(away.backend.pool) if found["name"] == image.name]
    volumes.assert_same(away.volume(api.restore(backup)), kept)
    api.delete_backup(backup)


def test_with_the_last_backup_its_snapshot_goes(away: Deployment, size_gb: int) -> None:
    """When no backup is left for comparison, the image has no snapshot of Septet any more."""
    api = away.api
    source = api.create_volume(size_gb, "forgotten")
    image = image_of(away, source)
    image.write(1, 4)
    backup = api.back_up(source)["id"]
    api.delete_backup(backup)
    assert not image.snapshots()


def test_a_clone_is_backed_up_whole(away: Deployment, size_gb: int) -> None:
    """A backup of a clone holds the clone's whole content, not only the blocks that the clone itself stores."""
    api = away.api
    source = api.create_volume(size_gb, "parent")
    away.volume(source).write(1, 8)
    api.back_up(source)
    clone = api.create_volume(size_gb, "clone", source_volid=source)
    away.volume(clone).write(4, 1)
    new = api.restore(api.back_up(clone)["id"])
    volumes.assert_same(away.volume(new), away.volume(clone))
