"""Translates a volume that Cinder has opened into arguments of the septet command line.

The data never passes through Cinder's file object: septet opens the volume itself, several times.
"""

import os
import stat
from pathlib import Path
from typing import Any


def arguments(volume_file: Any) -> list[str]:
    """The volume as septet's SOURCE or TARGET, with the options to access it."""
    if not is_rbd(volume_file):
        return [os.path.realpath(volume_file.name)]
    place = [f"rbd:{volume_file.rbd_pool}/{volume_file.rbd_image.name}"]
    return [*place, "--ceph-user", volume_file.rbd_user] if volume_file.rbd_user else place


def environment(volume_file: Any) -> dict[str, str]:
    """The environment with the cluster's configuration: a temporary file, so it is not part of the volume's name."""
    if is_rbd(volume_file) and volume_file.rbd_conf:
        return {"CEPH_CONF": volume_file.rbd_conf}
    return {}


def let_go(volume_file: Any) -> None:
    """Closes an image before a restore: septet does not write to an image that another client has open."""
    if is_rbd(volume_file):
        volume_file.close()


def grow_file(volume_file: Any, size_bytes: int) -> None:
    """Extends a volume that is a regular file to its full size: Cinder truncated it, and the backup may be smaller."""
    if is_rbd(volume_file):
        return
    path = Path(volume_file.name).resolve()
    status = path.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size < size_bytes:
        os.truncate(path, size_bytes)


def is_rbd(volume_file: Any) -> bool:
    """Whether it is os-brick's object for a Ceph image."""
    return hasattr(volume_file, "rbd_image")
