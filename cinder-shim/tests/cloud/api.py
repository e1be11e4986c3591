"""A client of Cinder's REST API."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from cloud.processes import wait_until

PROJECT = "0123456789abcdef0123456789abcdef"
HEADERS = {"X-Auth-Token": f"admin:{PROJECT}", "OpenStack-API-Version": "volume 3.64"}
FAILED = ("error", "error_deleting", "error_restoring", "error_backing-up")

Json = dict[str, Any]


class ApiError(Exception):
    """A request that Cinder refused; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """One cloud's API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v3/{PROJECT}"

    def request(self, method: str, path: str, body: Json | None = None) -> Json:
        """Sends a request. Returns the response."""
        answer = requests.request(method, self.url + path, headers=HEADERS, json=body, timeout=60)
        if not answer.ok:
            raise ApiError(answer.status_code, answer.text)
        return answer.json() if answer.text else {}

    def get(self, kind: str, id: str) -> Json:
        """A volume or backup."""
        return self.request("GET", f"/{kind}s/{id}")[kind]

    def wait(self, kind: str, id: str, *statuses: str) -> Json:
        """Waits until a volume or backup has one of these statuses. Raises at once if it is in error."""

        def look() -> Json | None:
            thing = self.get(kind, id)
            assert thing["status"] not in set(FAILED) - set(statuses), thing
            return thing if thing["status"] in statuses else None

        return wait_until(look, f"{kind} {id} {statuses}", pause_seconds=0.2)

    def wait_gone(self, kind: str, id: str) -> None:
        """Waits until a volume or backup is deleted."""

        def look() -> bool:
            try:
                thing = self.get(kind, id)
            except ApiError as error:
                if error.status == requests.codes.not_found:
                    return True
                raise
            assert thing["status"] not in FAILED, thing
            return False

        wait_until(look, f"the end of {kind} {id}", pause_seconds=0.2)

    def create_volume(self, size_gb: int, name: str, **more: Any) -> str:
        """Creates a volume. Returns its id."""
        body = {"size": size_gb, "name": name, **more}
        id = self.request("POST", "/volumes", {"volume": body})["volume"]["id"]
        self.wait("volume", id, "available")
        return id

    def delete_volume(self, volume: str) -> None:
        """Deletes a volume."""
        self.request("DELETE", f"/volumes/{volume}")
        self.wait_gone("volume", volume)

    def start_backup(self, volume: str, **more: Any) -> str:
        """Starts a backup. Returns its id."""
        body = {"volume_id": volume, "name": "backup", **more}
        return self.request("POST", "/backups", {"backup": body})["backup"]["id"]

    def back_up(self, volume: str, **more: Any) -> Json:
        """Makes a backup. Returns its record."""
        return self.wait("backup", self.start_backup(volume, **more), "available")

    def start_restore(self, backup: str, volume: str | None = None) -> str:
        """Starts a restore, to a new volume if none is given. Returns the volume's id."""
        body = {"volume_id": volume} if volume else {}
        return self.request("POST", f"/backups/{backup}/restore", {"restore": body})["restore"]["volume_id"]

    def restore(self, backup: str, volume: str | None = None) -> str:
        """Restores a backup. Returns the volume's id."""
        volume = self.start_restore(backup, volume)
        self.wait("volume", volume, "available")
        self.wait("backup", backup, "available")
        return volume

    def delete_backup(self, backup: str, force: bool = False) -> None:
        """Deletes a backup."""
        if force:
            self.action("backup", backup, "os-force_delete")
        else:
            self.request("DELETE", f"/backups/{backup}")
        self.wait_gone("backup", backup)

    def action(self, kind: str, id: str, action: str, **body: Any) -> None:
        """Performs an action on a volume or backup."""
        self.request("POST", f"/{kind}s/{id}/action", {action: body})

    @contextmanager
    def attached(self, volume: str) -> Iterator[None]:
        """Attaches a volume to an instance for the duration of the context."""
        instance = {"instance_uuid": "0fe4d2d1-8d4a-4a3e-9d3c-0a7a4a1f0001", "mountpoint": "/dev/vdb"}
        self.action("volume", volume, "os-attach", **instance)
        yield
        self.wait("volume", volume, "in-use")
        self.action("volume", volume, "os-detach")
        self.wait("volume", volume, "available")

    def services(self, binary: str, host: str) -> list[Json]:
        """Cinder's record of a service; None before it registers."""
        services = self.request("GET", "/os-services")["services"]
        return [service for service in services if (service["binary"], service["host"]) == (binary, host)]

    def service_is_up(self, binary: str, host: str) -> bool:
        """Whether Cinder considers a service up."""
        return any(service["state"] == "up" for service in self.services(binary, host))

    def signs_of_life(self, binary: str, host: str) -> list[str]:
        """The time of a service's last heartbeat in UTC, if there was one."""
        return [service["updated_at"] for service in self.services(binary, host) if service["updated_at"]]

    def wait_ready(self, *services: tuple[str, str]) -> None:
        """Waits until the services are up, each given as its binary and its host, and the scheduler knows of pools."""
        missing: list[Any] = []

        def look() -> bool:
            try:
                missing[:] = [service for service in services if not self.service_is_up(*service)]
                if not missing and not self.request("GET", "/scheduler-stats/get_pools")["pools"]:
                    missing[:] = ["pools"]
            except (requests.ConnectionError, requests.ReadTimeout, ApiError) as error:
                missing[:] = [error]
                time.sleep(0.3)
            return not missing

        try:
            wait_until(look, "services")
        except AssertionError as error:
            raise AssertionError(f"{error}: {missing}") from None
