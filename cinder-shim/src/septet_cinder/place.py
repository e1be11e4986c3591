"""Where the volume is that Cinder has opened: what the septet command line calls it.

The data never passes through Cinder's file object: septet opens the volume itself, several times over.
"""

import os
import stat
from pathlib import Path
from typing import Any


def arguments(volume_file: Any) -> list[str]:
    """The volume as septet's SOURCE or TARGET, with the options that reach it."""
    if not is_rbd(volume_file):
        return [os.path.realpath(volume_file.name)]
    place = [f"rbd:{volume_file.rbd_pool}/{volume_file.rbd_image.name}"]
    return [*place, "--ceph-user", volume_file.rbd_user] if volume_file.rbd_user else place


def environment(volume_file: Any) -> dict[str, str]:
    """How the volume's cluster is found: by a file that is gone after this run, so it is no part of the name."""
    if is_rbd(volume_file) and volume_file.rbd_conf:
        return {"CEPH_CONF": volume_file.rbd_conf}
    return {}


def let_go(volume_file: Any) -> None:
    """Closes an image that is to be restored: septet writes none that somebody else has open."""
    if is_rbd(volume_file):
        volume_file.close()


def grow_file(volume_file: Any, size_bytes: int) -> None:
    """Gives a volume that is a regular file its full size: Cinder has truncated it, and the backup may be smaller."""
    if is_rbd(volume_file):
        return
    path = Path(volume_file.name).resolve()
    status = path.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size < size_bytes:
        os.truncate(path, size_bytes)


def is_rbd(volume_file: Any) -> bool:
    """Whether it is an image of Ceph, as os-brick hands it over."""
    return hasattr(volume_file, "rbd_image")
