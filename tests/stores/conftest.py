"""A bucket of an S3 server on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.stores.s3_server import s3_server

from prepixel.stores import client

pytest.importorskip("obstore", reason="the extra cloud is not installed")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a new bucket, to which the environment has access."""
    import boto3

    use_server(monkeypatch, server)
    name = f"photos-{abs(hash(request.node.name)) % 10**9}"
    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket=name)
    yield f"s3://{name}"
    client._store.cache_clear()


def use_server(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the environment name a server, and credentials that it accepts."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(name, value)
    client._store.cache_clear()
