"""Measures wall time, CPU and memory of a full backup, an incremental and a restore of one volume with each driver.

Every driver has its own cinder-backup and runs alone. Wall time is the time that a user waits, from the request to
`available`. CPU is the CPU time of cinder-backup and all its descendants. Memory is the peak of cinder-backup itself;
the memory of septet's processes is in the summary that the driver logs.
"""

import argparse
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud import processes, volumes
from cloud.backends import Loop
from cloud.deployment import Deployment, sync
from cloud.processes import Service
from cloud.seaweed import BUCKET, KEY, SECRET, Seaweed
from cloud.servers import PostgreSQL, RabbitMQ
from cloud.volumes import Volume

POSIX = {"backup_driver": "cinder.backup.drivers.posix.PosixBackupDriver"}
S3 = {
    "backup_driver": "cinder.backup.drivers.s3.S3BackupDriver",
    "backup_s3_store_access_key": KEY,
    "backup_s3_store_secret_key": SECRET,
    "backup_s3_store_bucket": BUCKET,
}
STEPS = ("full", "incremental", "restore")
PIECE_BYTES = 64 << 10
# The share of the volume that changes between full and incremental.
CHANGED_SHARE = 0.05
GIB = 1 << 30


@dataclass
class Cost:
    """The cost of one step."""

    wall_seconds: float
    cpu_seconds: float
    # The part of the wall time that septet's run took.
    septet_seconds: float | None = None

    def __str__(self) -> str:
        own = f" (septet {self.septet_seconds:.1f} s)" if self.septet_seconds else ""
        return f"{self.wall_seconds:.1f} s{own}, CPU {self.cpu_seconds:.1f} s"


def main() -> None:
    """Runs all drivers and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--septet", type=Path, required=True)
    parser.add_argument("--size-gb", type=int, default=4)
    parser.add_argument("--drivers", default="septet,posix-zlib,posix-zstd", help="also septet-s3, s3-zlib, s3-zstd")
    parser.add_argument("--dir", default="/var/tmp", help="where volumes and backups are: on a slow disk, all are slow")
    arguments = parser.parse_args()
    processes.time_limit_seconds = 3600
    directory = Path(tempfile.mkdtemp(prefix="septet-cinder-bench-", dir=arguments.dir))
    directory.chmod(0o755)
    rabbit = RabbitMQ(directory / "rabbitmq", ["bench"])
    database = PostgreSQL(directory / "postgresql")
    seaweed = Seaweed(directory)
    servers = [rabbit, database, seaweed]
    try:
        sync(directory, database)
        rabbit.wait()
        cloud = Deployment("bench", directory, rabbit, database, Loop(directory / "volumes"), {})
        servers.insert(0, cloud)
        print(f"| {arguments.size_gb} GiB, half noise, half text | full | incremental (5 %) | restore | memory |")
        print("|---|---|---|---|---|", flush=True)
        for name in arguments.drivers.split(","):
            measure(cloud, name, options(name, arguments.septet, directory, seaweed), arguments.size_gb)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory)


def options(name: str, septet: Path, directory: Path, seaweed: Seaweed) -> dict[str, str | Path]:
    """The options in cinder.conf for a driver; `name` holds the driver, the storage and the compression."""
    stored = directory / name
    stored.mkdir()
    driver, _, how = name.partition("-")
    match driver:
        case "septet" if how == "s3":
            environment = stored / "septet.env"
            environment.write_text("".join(f"{key}={value}\n" for key, value in seaweed.environment.items()))
            environment.chmod(0o600)
            place = {"septet_repository": seaweed.repository, "septet_environment_file": environment}
            return {"septet_binary": septet, **place}
        case "septet":
            return {"septet_binary": septet, "septet_repository": stored}
        case "s3":
            endpoint = {"backup_s3_endpoint_url": seaweed.environment["AWS_ENDPOINT_URL"]}
            return {**S3, **endpoint, "backup_compression_algorithm": how}
    return {**POSIX, "backup_posix_path": stored, "backup_compression_algorithm": how}


def measure(cloud: Deployment, name: str, conf: dict[str, str | Path], size_gb: int) -> None:
    """Measures one driver and prints its row of the table."""
    service = cloud.start_backup(name, storage_availability_zone=name, **conf)
    zone = {"availability_zone": name}
    source = cloud.api.create_volume(size_gb, name)
    target = cloud.api.create_volume(size_gb, "target")
    fill(cloud.volume(source), size_gb)
    costs = [timed(service, lambda: cloud.api.back_up(source, **zone))]
    change(cloud.volume(source), size_gb)
    backups: list[dict] = []
    costs.append(timed(service, lambda: backups.append(cloud.api.back_up(source, incremental=True, **zone))))
    costs.append(timed(service, lambda: cloud.api.restore(backups[0]["id"], target)))
    volumes.assert_same(cloud.volume(target), cloud.volume(source))
    septet_bytes = [int(peak) for peak in re.findall(r"'memory_peak_bytes': (\d+)", service.log())]
    own = f" + {max(septet_bytes) >> 20} MiB in septet" if septet_bytes else ""
    runs = re.findall(r"septet_cinder.command .*'(?:backup|restore)', '--json'.*'seconds': ([\d.]+)", service.log())
    for cost, seconds in zip(costs, runs, strict=False):
        cost.septet_seconds = float(seconds)
    print(f"| {name} | {' | '.join(map(str, costs))} | {service.memory_peak_mib()} MiB{own} |", flush=True)
    cloud.kill_backup(name)
    for volume in (source, target):
        cloud.api.delete_volume(volume)


def timed(service: Service, step: Callable[[], object]) -> Cost:
    """Runs a step after writing back dirty pages, and measures it."""
    os.sync()
    cpu_seconds, started = cpu(service.pid), time.monotonic()
    step()
    return Cost(time.monotonic() - started, cpu(service.pid) - cpu_seconds)


def cpu(pid: int) -> float:
    """The CPU time of a process and of all children that it has waited for."""
    times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def fill(volume: Volume, size_gb: int) -> None:
    """Fills the volume: each piece is half noise, half text."""
    with volume.editing() as path, path.open("r+b") as file:
        for number in range(size_gb * GIB // PIECE_BYTES):
            file.write(os.urandom(PIECE_BYTES // 2) + text(number))


def text(number: int) -> bytes:
    """Half a piece of compressible lines."""
    line = b"%010d the quick brown fox jumps over the lazy dog %010d\n"
    lines = b"".join(line % (number, place) for place in range(PIECE_BYTES // 2 // 64))
    return lines.ljust(PIECE_BYTES // 2, b".")[: PIECE_BYTES // 2]


def change(volume: Volume, size_gb: int) -> None:
    """Overwrites some of the volume's MiB completely."""
    numbers = range(size_gb * GIB // volumes.MIB)
    for number in random.Random(2).sample(numbers, int(len(numbers) * CHANGED_SHARE)):
        volume.write(number, 1)


if __name__ == "__main__":
    main()
