"""Where the volume is that Cinder has opened: what the septet command line calls it.

The data never passes through Cinder's file object: septet opens the volume itself, several times over.
"""

import os
import stat
from pathlib import Path
from typing import Any


def arguments(volume_file: Any) -> list[str]:
    """The volume as septet's SOURCE or TARGET, with the options that reach it."""
    if not hasattr(volume_file, "rbd_image"):
        return [os.path.realpath(volume_file.name)]
    place = [f"rbd:{volume_file.rbd_pool}/{volume_file.rbd_image.name}"]
    if volume_file.rbd_user:
        place += ["--ceph-user", volume_file.rbd_user]
    if volume_file.rbd_conf:
        place += ["--ceph-conf", volume_file.rbd_conf]
    return place


def grow_file(volume_file: Any, size_bytes: int) -> None:
    """Gives a volume that is a regular file its full size: Cinder has truncated it, and the backup may be smaller."""
    if hasattr(volume_file, "rbd_image"):
        return
    path = Path(volume_file.name).resolve()
    status = path.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size < size_bytes:
        os.truncate(path, size_bytes)
