"""The fixtures of the tests: the servers, the storage, and two clouds that use one repository.

`home` has block devices and two backup hosts. `away` has Ceph images and one backup host. Each cloud knows only those
backups of the other that it imports.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud import processes
from cloud.backends import Loop
from cloud.ceph import Rbd
from cloud.deployment import Deployment, sync
from cloud.seaweed import Seaweed
from cloud.servers import PostgreSQL, RabbitMQ
from cloud.stores import Directory, Store

STORES: dict[str, type[Store]] = {"directory": Directory, "s3": Seaweed}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the tests."""
    parser.addoption("--septet", type=Path, default="septet", help="the septet binary")
    parser.addoption("--store", default="s3", choices=sorted(STORES), help="where backups are stored")
    parser.addoption("--size-gb", default=1, type=int, help="the size of the volumes")
    parser.addoption("--data-mib", default=128, type=int, help="how much data is in them")


def pytest_configure(config: pytest.Config) -> None:
    """Gives larger volumes more time."""
    processes.time_limit_seconds *= config.getoption("--size-gb")


@pytest.fixture(scope="session")
def septet(request: pytest.FixtureRequest) -> Path:
    """The septet binary."""
    return request.config.getoption("--septet").resolve()


@pytest.fixture(scope="session")
def size_gb(request: pytest.FixtureRequest) -> int:
    """The size of the volumes."""
    return request.config.getoption("--size-gb")


@pytest.fixture(scope="session")
def data_mib(request: pytest.FixtureRequest) -> int:
    """How much data is in the volumes."""
    return request.config.getoption("--data-mib")


@pytest.fixture(scope="session")
def directory(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory on a disk that PostgreSQL's user can access. It is kept, with the services' logs, if a test fails."""
    path = Path(tempfile.mkdtemp(prefix="septet-cinder-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    if request.session.testsfailed:
        print(f"\nwhat the services said is in {path}")
    else:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    """The storage of both clouds."""
    store = STORES[request.config.getoption("--store")](directory)
    yield store
    store.stop()


@pytest.fixture(scope="session")
def clouds(directory: Path, septet: Path, store: Store) -> Iterator[dict[str, Deployment]]:
    """Both clouds. Slow servers start in parallel."""
    ceph = Rbd(directory)
    servers: list[Any] = [ceph]
    try:
        servers.insert(0, rabbit := RabbitMQ(directory / "rabbitmq", ["home", "away"]))
        servers.insert(0, database := PostgreSQL(directory / "postgresql"))
        options = {
            "septet_binary": septet,
            "septet_repository": store.repository,
            "septet_environment_file": environment_file(directory, {**store.environment, "CEPH_CONF": str(ceph.conf)}),
        }
        sync(directory, database)
        rabbit.wait()
        loop = Loop(directory / "volumes")
        home = Deployment("home", directory, rabbit, database, loop, options)
        servers.insert(0, home)
        patient = {"backup_manager": "septet_cinder.manager.BackupManager"}
        home.start_backup("one", wait=False, **patient)
        home.start_backup("two", wait=False, storage_availability_zone="two", septet_independent_backups=True)
        ceph.wait()
        away = Deployment("away", directory, rabbit, database, ceph, options)
        servers.insert(0, away)
        away.start_backup("one", wait=False)
        home.wait_ready()
        away.wait_ready()
        yield {"home": home, "away": away}
    finally:
        for server in servers:
            server.stop()


def environment_file(directory: Path, environment: dict[str, str]) -> Path:
    """Writes a file with septet's environment that only its owner can read."""
    path = directory / "septet.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    path.chmod(0o600)
    return path


@pytest.fixture
def home(clouds: dict[str, Deployment]) -> Deployment:
    """The cloud with block devices."""
    return clouds["home"]


@pytest.fixture
def away(clouds: dict[str, Deployment]) -> Deployment:
    """The cloud with Ceph images."""
    return clouds["away"]


@pytest.fixture
def cloud(request: pytest.FixtureRequest, clouds: dict[str, Deployment]) -> Deployment:
    """The cloud with block devices, or each cloud in turn if the test is marked with `on_both`."""
    return clouds[getattr(request, "param", "home")]
