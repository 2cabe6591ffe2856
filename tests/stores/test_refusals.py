"""What a store refuses ends the command with one line that says what to do; nothing half-written is left."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.jobs.killed_packing import write_source
from tests.jpeg.small_files import by_pillow
from tests.small_photos import Captured
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy, s3_server
from tests.stores.test_remote_jobs import contents, upload

from prepixel.cli import main
from prepixel.data.jobs import pack_reads
from prepixel.stores import client
from prepixel.stores.remote_path import RemotePath

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'


@pytest.fixture
def photos(bucket: str, tmp_path: Path) -> str:
    write_source(tmp_path / "source", 40)
    upload(tmp_path / "source", f"{bucket}/photos")
    return f"{bucket}/photos"


@pytest.fixture(scope="module")
def strict_server() -> Iterator[tuple[str, str, str]]:
    """Run a server that checks signatures from its fifth request on; yield its URL and the key and secret it knows."""
    import boto3

    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="4") as url:
        options = {"endpoint_url": url, "region_name": "us-east-1"}
        options |= {"aws_access_key_id": "first", "aws_secret_access_key": "first"}
        iam, s3 = (boto3.client(service, **options) for service in ("iam", "s3"))
        iam.create_user(UserName="reader")
        iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=POLICY)
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        s3.create_bucket(Bucket="guarded")
        yield url, key["AccessKeyId"], key["SecretAccessKey"]


@pytest.mark.parametrize("known", [False, True], ids=["unknown key", "wrong secret"])
def test_wrong_credentials_are_named_and_not_shown(
    known: bool,
    strict_server: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Captured,
) -> None:
    url, key, secret = strict_server
    use_server(monkeypatch, url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    write_source(tmp_path / "source", 20)
    upload(tmp_path / "source", "s3://guarded/photos")
    client._store.cache_clear()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WRONG-SECRET-THAT-NOBODY-SHOULD-SEE")
    if not known:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    for words in (["s3://guarded/photos", str(tmp_path / "out")], [str(tmp_path / "source"), "s3://guarded/out"]):
        assert main(["pack", *words]) == 2
        err = capsys.readouterr().err
        assert "the store does not accept the credentials; check them; on AWS: AWS_ACCESS_KEY_ID" in err
        assert "WRONG-SECRET" not in err
        assert err.removeprefix("packing ...\n").count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_clock_that_goes_wrong_is_named(
    photos: str, bucket: str, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    proxy = FaultyProxy(int(server.rpartition(":")[2]), clock_offset=3600)
    use_server(monkeypatch, proxy.url)
    for words in ([photos, str(tmp_path / "out")], [str(tmp_path / "source"), f"{bucket}/out"]):
        assert main(["pack", *words]) == 2
        err = capsys.readouterr().err
        assert "the clocks of this machine and the store differ; set this machine's clock" in err
        assert err.removeprefix("packing ...\n").count("\n") == 1
    proxy.close()
    use_server(monkeypatch, server)
    assert not contents(f"{bucket}/out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("remote", [False, True])
def test_an_object_replaced_while_it_is_read_leaves_no_half_of_a_shard(
    remote: bool, photos: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    """Replace the last photo when the first one has been read, so that a shard is begun."""
    (tmp_path / "other.jpg").write_bytes(by_pillow(quality=31))
    read, numbers = pack_reads.contents_of, itertools.count()

    def replacing(path: str, size: int | None = None, offset: int = 0) -> bytes | OSError | None:
        contents = read(path, size, offset)
        if next(numbers) == 0:
            with (tmp_path / "other.jpg").open("rb") as file:
                RemotePath.parse(f"{photos}/class6/034.jpg").upload(file)
        return contents

    monkeypatch.setattr(pack_reads, "contents_of", replacing)
    monkeypatch.setattr(pack_reads, "read_ahead", functools.partial(pack_reads.read_ahead, requests=1))
    target = f"{bucket}/shards" if remote else str(tmp_path / "shards")
    assert main(["pack", photos, target, "--threads", "1"]) == 2
    err = capsys.readouterr().err
    assert "034.jpg: was replaced after it was listed (its ETag is another); start again when nothing writes" in err
    written = contents(target) if remote else {path.name for path in Path(target).rglob("*")}
    assert not [name for name in written if "shard-" in name or "unit-" in name or name.endswith(".partial")]
