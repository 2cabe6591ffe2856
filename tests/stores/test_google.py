"""The client's requests to Google's store (its XML API), which the benchmarks' object server answers: no emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.object_server import object_server
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.data.jobs.test_tar_members import write_tar
from tests.stores.test_remote_bandlimit import tree
from tests.stores.test_remote_jobs import contents, local_contents

from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.spectrum import BandSet
from prepixel.stores import client


def test_jobs_in_googles_store_leave_the_bytes_of_local_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = tmp_path / "served" / "bucket"
    source, options = bucket / "photos", BandlimitOptions(BandSet.parse("S-24"), non_jpegs="copy")
    write_source(source, 30)
    (source / "class2" / "002.jpg").rename(source / "class2" / "photo #2? 50%20+é.jpg")
    (bucket / "tars").mkdir()
    members = [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in sorted(source.rglob("*.*"))]
    write_tar(bucket / "tars" / "a.tar", *members)
    pack_source(open_source(source), tmp_path / "one", OPTIONS)
    pack_source(open_source(bucket / "tars"), tmp_path / "of tars", OPTIONS)
    bandlimit_folder(source, tmp_path / "small", options)
    with object_server(tmp_path / "served") as url:
        account = {
            "gcs_base_url": url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
        monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
        client._store.cache_clear()
        pack_units(open_source("gs://bucket/photos"), "gs://bucket/shards", OPTIONS)
        pack_units(open_source("gs://bucket/tars"), "gs://bucket/of tars", OPTIONS)
        bandlimit_folder("gs://bucket/photos", "gs://bucket/small", options)
        assert contents("gs://bucket/shards") == local_contents(tmp_path / "one")
        assert contents("gs://bucket/of tars") == local_contents(tmp_path / "of tars")
        assert tree("gs://bucket/small") == tree(tmp_path / "small")
    client._store.cache_clear()
