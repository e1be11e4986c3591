"""The servers that Cinder needs: Debian's RabbitMQ and PostgreSQL, on the loopback, in the tests' directory."""

import base64
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

from cloud.processes import Service, wait_until

PASSWORD = "guest"


def free_port(*, and_above: int = 0) -> int:
    """A free port; the port at this distance above it is free too.

    Both are below the ports of outgoing connections, so no other process takes them meanwhile, or after a kill.
    """
    while True:
        port = random.randrange(12_000, 22_000)
        if is_free(port) and is_free(port + and_above):
            return port


def is_free(port: int) -> bool:
    """Whether the port is free to listen on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class RabbitMQ:
    """The message broker, with a virtual host for each cloud."""

    def __init__(self, directory: Path, virtual_hosts: list[str]) -> None:
        directory.mkdir()
        self.port = free_port()
        (directory / "definitions.json").write_text(json.dumps(definitions(virtual_hosts)))
        conf = directory / "rabbitmq.conf"
        conf.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nload_definitions = {directory}/definitions.json\n"
            "log.console = true\nlog.file = false\nvm_memory_high_watermark.relative = 0.9\n"
        )
        epmd_port = free_port()
        erlang = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(epmd_port)}
        self.epmd = Service("epmd", ["epmd"], directory, erlang)
        wait_until(lambda: answers(epmd_port), "epmd")
        self.server = Service(
            "rabbitmq",
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
            directory,
            {
                **erlang,
                "HOME": str(directory),
                "RABBITMQ_NODENAME": "septet@localhost",
                "RABBITMQ_CONFIG_FILE": str(conf),
                "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
                "RABBITMQ_LOG_BASE": str(directory),
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            },
        )

    def wait(self) -> None:
        """Waits until it can be used."""
        wait_until(lambda: answers(self.port), "RabbitMQ")

    def url(self, virtual_host: str) -> str:
        """The URL for a cloud."""
        return f"rabbit://guest:{PASSWORD}@127.0.0.1:{self.port}/{virtual_host}"

    def stop(self) -> None:
        """Stops it."""
        self.server.kill()
        self.epmd.kill()


def definitions(virtual_hosts: list[str]) -> dict:
    """The definitions of users and virtual hosts that RabbitMQ reads when it starts."""
    salt = b"salt"
    digest = base64.b64encode(salt + hashlib.sha256(salt + PASSWORD.encode()).digest()).decode()
    access = {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": "guest", "password_hash": digest, "tags": ""}],
        "vhosts": [{"name": name} for name in virtual_hosts],
        "permissions": [{**access, "vhost": name} for name in virtual_hosts],
    }


class PostgreSQL:
    """The database server, reached through a socket in its directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        shutil.chown(directory, "postgres", "postgres")
        self.directory = directory
        self.tools = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
        self.run("initdb", "--pgdata", f"{directory}/data", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": directory,
            "fsync": "off",
            # Inside its directory, so that it is removed with it.
            "dynamic_shared_memory_type": "mmap",
            "max_connections": 300,
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        line = self.line("postgres", "-D", f"{directory}/data", *arguments)
        self.server = Service("postgres", line, directory, {})
        wait_until((directory / ".s.PGSQL.5432").exists, "PostgreSQL")

    def line(self, tool: str, *arguments: str) -> list[str]:
        """The command line of one of PostgreSQL's tools, as another user: they refuse to run as root."""
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        return [*user, str(self.tools / tool), *arguments]

    def run(self, tool: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's tools."""
        environment = {**os.environ, "PGHOST": str(self.directory), "LC_ALL": "C.UTF-8"}
        subprocess.run(
            self.line(tool, *arguments), env=environment, cwd=self.directory, check=True, stdout=subprocess.DEVNULL
        )

    def create(self, database: str, template: str = "template1") -> None:
        """Creates a database, optionally as a copy of another."""
        self.run("createdb", "--template", template, database)

    def url(self, database: str) -> str:
        """The URL of a database for Cinder."""
        return f"postgresql+psycopg2://postgres@/{database}?host={self.directory}"

    def stop(self) -> None:
        """Stops it."""
        self.server.kill()
