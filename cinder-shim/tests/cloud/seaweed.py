"""SeaweedFS as the storage: a real S3 server in one process."""

from pathlib import Path

import boto3
from botocore.client import Config

from cloud.processes import Service, wait_until
from cloud.servers import answers, free_port
from cloud.stores import ANOTHER, Store, is_tombstone

BUCKET, PREFIX = "backups", "cinder/"
KEY, SECRET = "owner-key", "owner-secret"
IDENTITIES = f"""{{"identities": [{{"name": "owner", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    "credentials": [{{"accessKey": "{KEY}", "secretKey": "{SECRET}"}}]}}]}}"""


class Seaweed(Store):
    """A repository in a bucket. The credentials are in the environment file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "seaweed"
        (self.directory / "data").mkdir(parents=True)
        (self.directory / "s3.json").write_text(IDENTITIES)
        # SeaweedFS listens on each of these ports and on the port 10,000 above it.
        self.ports = {name: free_port(and_above=10_000) for name in ("master", "volume", "filer", "s3")}
        endpoint = f"http://127.0.0.1:{self.ports['s3']}"
        self.repository = f"s3://{BUCKET}/{PREFIX}"
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        self.give_back()
        self.client.create_bucket(Bucket=BUCKET)

    def objects(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX)
        keys = [found["Key"].removeprefix(PREFIX) for page in pages for found in page.get("Contents", [])]
        return [key for key in keys if not is_tombstone(key, self._read)]

    def _read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=PREFIX + key)["Body"].read()

    def damage(self, key: str) -> None:
        bytes_ = self._read(key)
        self.client.put_object(Bucket=BUCKET, Key=PREFIX + key, Body=bytes_.translate(ANOTHER))

    def take_away(self) -> None:
        self.server.kill()

    def give_back(self) -> None:
        options = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": self.directory / "data",
            "s3.config": self.directory / "s3.json",
            # Each bucket needs several volumes: with too few, writes to new buckets fail.
            "volume.max": 300,
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **{f"{name}.port": port for name, port in self.ports.items()},
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        self.server = Service("weed", ["weed", "server", "-filer", "-s3", *words], self.directory, {})
        wait_until(self._is_ready, "SeaweedFS")

    def stop(self) -> None:
        self.server.kill()

    def _is_ready(self) -> bool:
        """Whether it answers and its volumes are registered."""
        return answers(self.ports["s3"]) and "the cluster has 1 filer" in self.server.log()
