"""What the tests share: the servers, the storage, and two clouds that use one repository."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud import processes
from cloud.deployment import Deployment, sync
from cloud.seaweed import Seaweed
from cloud.servers import PostgreSQL, RabbitMQ
from cloud.stores import Directory, Store

STORES: dict[str, type[Store]] = {"directory": Directory, "s3": Seaweed}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the tests."""
    parser.addoption("--septet", type=Path, default="septet", help="the septet binary")
    parser.addoption("--store", default="directory", choices=sorted(STORES), help="where backups are stored")
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
    """A directory on a disk, where PostgreSQL's user can go; it stays if a test fails, for what the services said."""
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
    """Two clouds, `home` with two backup hosts and `away` with one."""
    rabbit = RabbitMQ(directory / "rabbitmq", ["home", "away"])
    database = PostgreSQL(directory / "postgresql")
    environment = directory / "septet.env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in store.environment.items()))
    environment.chmod(0o600)
    options = {
        "septet_binary": septet,
        "septet_repository": store.repository,
        "septet_environment_file": environment,
        "septet_timeout": 60,
    }
    sync(directory, database)
    rabbit.wait()
    clouds = {name: Deployment(name, directory, rabbit, database, options) for name in ("home", "away")}
    try:
        patient = {"backup_manager": "septet_cinder.manager.BackupManager"}
        clouds["home"].start_backup("one", wait=False, storage_availability_zone="nova", **patient)
        clouds["home"].start_backup("two", wait=False, storage_availability_zone="two")
        clouds["away"].start_backup("far", wait=False, septet_independent_backups=True)
        for cloud in clouds.values():
            cloud.wait_ready()
        yield clouds
    finally:
        for server in (*clouds.values(), rabbit, database):
            server.stop()


@pytest.fixture
def home(clouds: dict[str, Deployment]) -> Deployment:
    """The cloud in which most happens."""
    return clouds["home"]


@pytest.fixture
def away(clouds: dict[str, Deployment]) -> Deployment:
    """Another cloud, which knows of the first only what is imported."""
    return clouds["away"]
