"""The service's user suffices: Cinder gives it the device for the time of a backup. Septet needs no other rights."""

import os
import shutil
import subprocess
from pathlib import Path

from cloud import loop_driver, volumes

NOBODY = 65534


def test_septet_needs_no_root(directory: Path, septet: Path) -> None:
    """A user without any rights backs up and restores a device that it owns, as Cinder's temporary_chown makes it."""
    home = directory / "nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    binary = shutil.copy(septet, directory / "septet")
    file = directory / "device"
    file.touch()
    os.truncate(file, 64 * volumes.MIB)
    volume = volumes.FileVolume(file)
    volume.write(1, 8)
    kept = volume.keep(directory / "kept")

    def as_nobody(*words: str) -> None:
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        repository = {"SEPTET_REPO": str(home / "repository"), "TMPDIR": str(home)}
        subprocess.run([*user, binary, *words], env=repository, check=True, stdout=subprocess.DEVNULL)

    [device] = loop_driver.execute("losetup", "--find", "--show", "--direct-io=on", str(file))
    owner = Path(device).stat().st_uid
    try:
        os.chown(device, NOBODY, -1)
        as_nobody("smoke")
        as_nobody("backup", device, "--volume", "v", "--id", "b")
        volume.write(1, 8)
        as_nobody("restore", "v/b", device, "--overwrite")
    finally:
        os.chown(device, owner, -1)
        loop_driver.detach(file)
    volumes.assert_same(volume, kept)
