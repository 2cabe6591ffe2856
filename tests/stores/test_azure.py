"""Azure's blob store, by its emulator: jobs leave the bytes of local runs; its listings and ETags are its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.data.jobs.test_tar_members import write_tar
from tests.jpeg.small_files import by_pillow
from tests.small_photos import Captured
from tests.stores.azure_server import ACCOUNT, COMMAND, KEY, azure_server, make_container
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_bandlimit import tree
from tests.stores.test_remote_jobs import contents, local_contents, upload

from prepixel.cli import main
from prepixel.data import FolderDataset
from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.read_ahead import read_objects
from prepixel.errors import ObjectReplaced
from prepixel.files import image_files
from prepixel.spectrum import BandSet
from prepixel.stores import client
from prepixel.stores.client import list_objects
from prepixel.stores.remote_path import RemotePath

pytestmark = pytest.mark.skipif(COMMAND is None, reason="azurite-blob is not on the path: npm install --global azurite")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write_source(root, 40)
    (root / "class2" / "002.jpg").rename(root / "class2" / "photo #2? 50%20+.jpg")
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azure_server(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture
def container(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"photos-{abs(hash(request.node.name)) % 10**9}"
    make_container(server, name)
    use_server(monkeypatch, server)
    yield f"az://{name}"
    client._store.cache_clear()


def use_server(monkeypatch: pytest.MonkeyPatch, url: str, key: str = KEY) -> None:
    for name, value in (
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", key),
        ("AZURE_STORAGE_USE_EMULATOR", "true"),
        ("AZURITE_BLOB_STORAGE_URL", url),
        ("AZURE_ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(name, value)
    client._store.cache_clear()


def test_jobs_leave_the_bytes_of_local_runs_whatever_the_network_does(
    container: str, server: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BandlimitOptions(BandSet.parse("S-24"), non_jpegs="copy")
    (tmp_path / "tars").mkdir()
    photos = sorted(source.rglob("*.*"))
    for number in range(2):
        members = [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in photos[number::2]]
        write_tar(tmp_path / "tars" / f"{number}.tar", *members)
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    pack_source(open_source(tmp_path / "tars"), tmp_path / "of tars", OPTIONS)
    bandlimit_folder(source, tmp_path / "small", options)
    upload(source, f"{container}/photos")
    upload(tmp_path / "tars", f"{container}/tars")
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.03, cut=0.03)
    use_server(monkeypatch, proxy.url)
    pack_units(open_source(f"{container}/photos"), f"{container}/shards", OPTIONS)
    pack_units(open_source(f"{container}/tars"), f"{container}/of tars", OPTIONS)
    bandlimit_folder(f"{container}/photos", f"{container}/small", options)
    use_server(monkeypatch, server)
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut
    expected = local_contents(tmp_path / "one")
    expected["manifest.json"] = expected["manifest.json"].replace(source.name.encode(), b"photos")
    assert contents(f"{container}/shards") == expected
    assert contents(f"{container}/of tars") == local_contents(tmp_path / "of tars")
    assert tree(f"{container}/small") == tree(tmp_path / "small")
    files = FolderDataset(f"{container}/photos")
    assert read_objects([path for path, _ in files.samples]) == [
        Path(path).read_bytes() for path, _ in FolderDataset(source).samples
    ]


def test_a_listing_is_one_answer_followed_to_its_end(
    container: str, server: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure cannot list from a name on: pages asked for by name would each begin at the start."""
    upload(source, f"{container}/photos")
    straight = list(list_objects(container, "photos"))
    assert len(straight) == 41
    listed = list(image_files(f"{container}/photos"))
    proxy = FaultyProxy(int(server.rpartition(":")[2]))
    use_server(monkeypatch, proxy.url)
    monkeypatch.setattr(client, "PAGE", 3)
    assert list(list_objects(container, "photos")) == straight
    assert len(proxy.lines) == 1
    assert list(image_files(f"{container}/photos")) == listed
    assert len(proxy.lines) == 1 + 1 + 7  # the folder, and its classes
    proxy.close()


def test_a_listing_that_breaks_off_is_begun_again(
    container: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(source, f"{container}/photos")
    straight = list(list_objects(container, "photos"))
    monkeypatch.setattr(client, "PAGE", 6)
    info, seen = client._info, list[int]()

    def breaking(meta: object) -> client.ObjectInfo:
        seen.append(1)
        if len(seen) in (5, 20, 21):
            from obstore.exceptions import GenericError

            raise GenericError("error decoding response body")
        return info(meta)

    monkeypatch.setattr(client, "_info", breaking)
    assert list(list_objects(container, "photos")) == straight
    assert len(seen) > 41


def test_a_replaced_blob_ends_the_run(container: str, source: Path, tmp_path: Path) -> None:
    upload(source, f"{container}/photos")
    listed = open_source(f"{container}/photos")
    (tmp_path / "other.jpg").write_bytes(by_pillow(quality=31))
    with (tmp_path / "other.jpg").open("rb") as file:
        RemotePath.parse(listed.entries[5].path).upload(file)
    assert listed.entries[5].path.info.etag.startswith('"')  # type: ignore[attr-defined]
    with pytest.raises(ObjectReplaced, match=r"was replaced after it was listed \(its ETag is another\)"):
        pack_units(listed, f"{container}/shards", OPTIONS)


def test_what_azure_refuses_is_named(
    container: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert main(["pack", f"{container}-missing/photos", str(tmp_path / "out")]) == 2
    assert "there is no such bucket; check its name and region" in capsys.readouterr().err
    assert main(["pack", f"{container}/photos", str(tmp_path / "out")]) == 2
    assert "photos: no object lies below it; check the path" in capsys.readouterr().err
    use_server(monkeypatch, server, key="V1JPTkctU0VDUkVU")
    assert main(["pack", f"{container}/photos", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "the store does not accept the credentials" in err
    assert "V1JPTkctU0VDUkVU" not in err
