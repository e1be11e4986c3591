"""One cloud: its database, its queues and its services. Each service has its own configuration."""

import os
import subprocess
import sys
from pathlib import Path

from cloud import loop_driver
from cloud.api import Api
from cloud.backends import Backend
from cloud.processes import Service, wait_until
from cloud.servers import PostgreSQL, RabbitMQ, free_port
from cloud.volumes import Volume

DRIVER = "septet_cinder.backup.drivers.ceph.SeptetBackupDriver"
BIN = Path(sys.executable).parent
ETC = BIN.parent / "etc" / "cinder"
SYNCED = "synced"


class Deployment:
    """A cloud with an API, a scheduler, a volume service and any number of backup services."""

    def __init__(
        self, name: str, directory: Path, rabbit: RabbitMQ, database: PostgreSQL, backend: Backend, options: dict
    ) -> None:
        self.directory = directory / name
        self.directory.mkdir()
        self.backend = backend
        self.backup_options = options
        self.port = free_port()
        self.api = Api(self.port)
        database.create(name, SYNCED)
        self._write_bin()
        self.conf = self.directory / "cinder.conf"
        self.conf.write_text(self._configuration(rabbit.url(name), database.url(name)))
        self.services = {binary: self._start(binary) for binary in ("api", "scheduler", "volume")}
        self.backups: dict[str, Service] = {}
        self.scheduler_log_lengths: dict[str, int] = {}

    def start_backup(self, host: str, wait: bool = True, **options: str | int | bool | Path) -> Service:
        """Starts a backup service under this host name, with additional options."""
        conf = self.directory / f"{host}.conf"
        options = {"backup_driver": DRIVER, "host": host, **self.backup_options, **options}
        conf.write_text("[DEFAULT]\n" + "".join(f"{name}={value}\n" for name, value in options.items()))
        return self.restart_backup(host, wait)

    def restart_backup(self, host: str, wait: bool = True) -> Service:
        """Restarts a backup service with the same configuration."""
        self.scheduler_log_lengths[host] = len(self.services["scheduler"].log())
        self.backups[host] = self._start("backup", host, self.directory / f"{host}.conf")
        if wait:
            self.wait_ready()
        return self.backups[host]

    def wait_ready(self) -> None:
        """Waits until all services are up and the backup services accept work."""
        backups = [("cinder-backup", host) for host in self.backups]
        self.api.wait_ready(("cinder-scheduler", "main"), ("cinder-volume", f"main@{self.backend.name}"), *backups)
        for host, service in self.backups.items():
            self._wait_working(host, service.started)
            self._wait_chosen(host)

    def _wait_working(self, host: str, since: str) -> None:
        """Waits for two heartbeats: the first may be the registration, before cleaning up and checking."""
        signs: set[str] = set()

        def look() -> bool:
            signs.update(sign for sign in self.api.signs_of_life("cinder-backup", host) if sign > since)
            return len(signs) > 1

        wait_until(look, f"the work of {host}")

    def _wait_chosen(self, host: str) -> None:
        """Waits until the scheduler gives it work: Cinder's own manager first reports that the driver is not ready."""

        def look() -> bool:
            heard = self.services["scheduler"].log()[self.scheduler_log_lengths[host] :]
            _, said, last = heard.rpartition(f"Received backup service update from {host}: ")
            return bool(said) and last.startswith("{'backend_state': True")

        wait_until(look, f"the scheduler's knowledge of {host}")

    def kill_backup(self, host: str) -> None:
        """Kills a backup service, as the first half of a restart."""
        self.backups.pop(host).kill()

    def wait_down(self, host: str) -> None:
        """Waits until Cinder considers a backup service down."""
        wait_until(lambda: not self.api.service_is_up("cinder-backup", host), f"the end of {host}")

    def volume(self, id: str) -> Volume:
        """Direct access to a volume's storage."""
        return self.backend.volume(id)

    def stop(self) -> None:
        """Stops all services and releases their volumes."""
        for service in [*self.services.values(), *self.backups.values()]:
            service.kill()
        self.backend.stop()

    def _start(self, binary: str, host: str = "main", *confs: Path) -> Service:
        files = [f"--config-file={conf}" for conf in (self.conf, *confs)]
        environment = {
            "PATH": f"{self.directory / 'bin'}:{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": str(Path(loop_driver.__file__).parent.parent),
            "PYTHONWARNINGS": "ignore",
        }
        return Service(f"{binary}-{host}", [str(BIN / f"cinder-{binary}"), *files], self.directory, environment)

    def _write_bin(self) -> None:
        """Puts a sudo into PATH that runs any command directly: the tests already run as root."""
        sudo = self.directory / "bin" / "sudo"
        sudo.parent.mkdir()
        sudo.write_text('#!/bin/sh\n[ "$1" = cinder-rootwrap ] && shift 2\nexec "$@"\n')
        sudo.chmod(0o755)

    def _configuration(self, broker: str, database: str) -> str:
        return f"""\
[DEFAULT]
state_path={self.directory}
my_ip=127.0.0.1
host=main
auth_strategy=noauth
api_paste_config={ETC}/api-paste.ini
resource_query_filters_file={ETC}/resource_filters.json
osapi_volume_listen=127.0.0.1
osapi_volume_listen_port={self.port}
osapi_volume_workers=1
transport_url={broker}
enabled_backends={self.backend.name}
report_interval=1
service_down_time=10
periodic_interval=2
periodic_fuzzy_delay=0
default_log_levels=cinder.scheduler.host_manager=DEBUG
scheduler_driver_init_wait_time=2
backend_stats_polling_interval=3
backup_driver_stats_polling_interval=10
backup_driver_init_check_interval=5
backup_timer_interval=1
max_pool_size=5
[{self.backend.name}]
volume_backend_name={self.backend.name}
{self.backend.configuration()}
[database]
connection={database}
[oslo_concurrency]
lock_path={self.directory}/locks
[coordination]
backend_url=file://{self.directory}/locks
[oslo_messaging_notifications]
driver=log
"""


def sync(directory: Path, database: PostgreSQL) -> None:
    """Creates the template of every cloud's database."""
    database.create(SYNCED)
    conf = directory / "sync.conf"
    conf.write_text(f"[DEFAULT]\nstate_path={directory}\n[database]\nconnection={database.url(SYNCED)}\n")
    with (directory / "sync.out").open("wb") as output:
        line = [BIN / "cinder-manage", f"--config-file={conf}", "db", "sync"]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        subprocess.run(line, stdout=output, stderr=output, env=environment, check=True)
    database.run("psql", "--quiet", "--command", "UPDATE quota_classes SET hard_limit = -1", SYNCED)
