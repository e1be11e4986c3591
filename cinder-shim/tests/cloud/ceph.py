"""A real Ceph of one node as the volumes' storage, made by the script that the Rust tests use.

If `SEPTET_CEPH` names the directory of a cluster that this script has started, the tests use that one: `check` starts
one for all its steps. In both cases the volumes have a separate pool.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rados
import rbd

from cloud.backends import Backend
from cloud.volumes import MIB, Volume, data_pieces, run

SCRIPT = Path(__file__).parents[3] / "tests" / "ceph"
POOL, USER = "volumes", "cinder"
OURS = "backup.septet.snap."
# The capabilities that Cinder's documentation grants.
CAPABILITIES = ("mon", "profile rbd", "osd", "profile rbd")


class Rbd(Backend):
    """Ceph images, through Cinder's own driver."""

    name = "ceph"

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "ceph"
        self.directory.mkdir()
        self.conf = self.directory / "ceph.conf"
        # os-brick looks for the key here. No other cluster of this machine has this name.
        self.cluster = f"septet{os.getpid()}"
        self.keyring = Path(f"/etc/ceph/{self.cluster}.client.{USER}.keyring")
        shared = os.environ.get("SEPTET_CEPH")
        self.cluster_directory = Path(shared) if shared else self.directory / "cluster"
        self.starting = None if shared else self._start()

    def _start(self) -> subprocess.Popen:
        environment = {**os.environ, "SIZE_GB": "40", "LIFE_OF": str(os.getpid())}
        line = [SCRIPT, "up", self.cluster_directory]
        return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        """Waits until it can be used."""
        assert self.starting is None or self.starting.wait() == 0, "Ceph does not start"
        self.keyring.parent.mkdir(exist_ok=True)
        conf = (self.cluster_directory / "ceph.conf").read_text()
        self.conf.write_text(f"{conf}[client.{USER}]\nkeyring = {self.keyring}\n")
        self.keyring.write_text(self._ceph("auth", "get-or-create", f"client.{USER}", *CAPABILITIES))
        self._ceph("osd", "pool", "create", POOL, "8", "8")
        run("rbd", "--conf", self.conf, "pool", "init", POOL)
        self.client = rados.Rados(conffile=str(self.conf), rados_id="admin")
        self.client.connect()
        self.pool = self.client.open_ioctx(POOL)

    def configuration(self) -> str:
        return (
            f"volume_driver=cinder.volume.drivers.rbd.RBDDriver\nrbd_pool={POOL}\nrbd_user={USER}\n"
            f"rbd_cluster_name={self.cluster}\nrbd_ceph_conf={self.conf}\n"
        )

    def volume(self, id: str) -> "Image":
        return Image(self, f"volume-{id}")

    def names(self) -> list[str]:
        return sorted(rbd.RBD().list(self.pool))

    def stop(self) -> None:
        if self.starting is not None:
            self.starting.wait()
            subprocess.run([SCRIPT, "down", self.cluster_directory], check=True)
        elif self.conf.exists():
            self._ceph("osd", "pool", "delete", POOL, POOL, "--yes-i-really-really-mean-it")
        self.keyring.unlink(missing_ok=True)

    def _ceph(self, *words: str) -> str:
        return run("ceph", "--conf", self.conf, *words)


class Image(Volume):
    """A volume that is a Ceph image."""

    def __init__(self, backend: Rbd, name: str) -> None:
        self.backend = backend
        self.name = name

    def open(self, **how: bool) -> rbd.Image:
        """Opens the image, as a user of the volume does."""
        return rbd.Image(self.backend.pool, self.name, **how)

    def snapshots(self) -> list[str]:
        """The names of the snapshots that Septet made."""
        with self.open(read_only=True) as image:
            return [found["name"] for found in image.list_snaps() if found["name"].startswith(OURS)]

    def write(self, offset_mib: int, size_mib: int) -> None:
        with self.open() as image:
            for mib in range(offset_mib, offset_mib + size_mib):
                image.write(os.urandom(MIB), mib * MIB)
            image.flush()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.backend.directory) as directory:
            path = Path(directory) / self.name
            run("rbd", "--conf", self.backend.conf, "export", "--no-progress", f"{POOL}/{self.name}", path)
            yield path

    @contextlib.contextmanager
    def editing(self) -> Iterator[Path]:
        with self.reading() as path:
            yield path
            with path.open("rb") as file, self.open() as image:
                for piece in data_pieces(file.fileno()):
                    new = os.pread(file.fileno(), MIB, piece * MIB)
                    if new != image.read(piece * MIB, len(new)):
                        image.write(new, piece * MIB)

    def stored_bytes(self) -> int:
        sizes = []
        with self.open(read_only=True) as image:
            image.diff_iterate(0, image.size(), None, lambda _, size, __: sizes.append(size), whole_object=True)
        return sum(sizes)
