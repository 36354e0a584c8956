"""A station goes on for a while, and looks at where it is before it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from featcache.cache.layout import ENCODED, MISSING
from featcache.cache.manifest import library_versions
from featcache.cache.plan import Shard
from featcache.errors import CacheError, CacheLocked, CacheMismatch, DataError
from featcache.extraction import station as station_file
from featcache.extraction.engines.engine import Brief
from featcache.extraction.request import Request
from featcache.extraction.station import Station
from featcache.places.folder import Folder
from featcache.places.lock import writing
from tests.begun import begin
from tests.conftest import ImageFolder


@pytest.fixture
def station(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """One that has loaded its encoder, of a cache that is begun."""
    images = image_folder()
    folder = begin(images, root, monkeypatch)
    asked = Request(model="tiny", dataset=str(images), name="c", batch_size=4, workers=0)
    with writing(folder) as held:
        station = Station(Brief(asked, asked.load_dataset(), folder, held.token, library_versions()), "cpu", 1)
        station.load()
        yield station
        station.close()


def train(*starts: int) -> list[Shard]:
    return [Shard("train", start, start + 4) for start in starts]


def test_it_tells_how_far_it_is(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    station.check()
    monkeypatch.setattr(station_file, "TELL", 0.0)  # after each batch
    told = station.go_on(train(0, 4))
    assert (told.rows, told.bad, told.finished, told.wants) == (4, 0, [], False)
    monkeypatch.setattr(station_file, "TELL", 60.0)
    rest = station.go_on(train(8))
    assert (rest.rows, [*told.finished, *rest.finished], rest.wants) == (8, train(0, 4, 8), True)
    assert rest.waited["the encoder"] > 0
    state = station.brief.folder.group("r")["train/state"]
    assert state[:16].tolist() == [ENCODED] * 12 + [MISSING] * 4  # type: ignore[index, union-attr]


def test_it_gives_back_what_is_not_begun(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    station.check()
    monkeypatch.setattr(station_file, "TELL", 0.0)
    assert station.go_on(train(0, 4, 8)).rows == 4
    told = station.go_on([], True)
    assert told.returned == train(4, 8)
    assert told.wants
    monkeypatch.setattr(station_file, "TELL", 60.0)
    assert [*told.finished, *station.go_on([]).finished] == train(0)


def test_it_writes_nothing_for_a_run_that_holds_the_cache_no_more(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.check()
    monkeypatch.setattr(station_file, "TELL", 60.0)
    station.brief.folder.write_json("writer.json", {"token": "another run's"})
    with pytest.raises(CacheLocked, match="no longer holds the cache .*; type its command again"):
        station.go_on(train(0))
    assert station.brief.folder.names("train/state/c") == []


def test_a_place_that_does_not_see_the_cache_is_refused(station: Station, tmp_path: Path) -> None:
    station.brief = replace(station.brief, folder=Folder(str(tmp_path / "elsewhere")))
    with pytest.raises(CacheError, match="elsewhere is not seen from here; give --root a shared folder or a URL"):
        station.check()


def test_a_place_that_does_not_see_the_images_is_refused(station: Station, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"not seen from there: .*photos lacks class_0/\S+ \(train\); put them at"):
        station.load()


def test_a_place_with_other_versions_is_refused(station: Station) -> None:
    station.brief = replace(station.brief, versions={**library_versions(), "torch": "0.1"})
    with pytest.raises(DataError, match=r"torch is \S+ there and 0.1 here; install the same versions"):
        station.load()


def test_a_place_where_the_encoder_is_another_is_refused(station: Station) -> None:
    station.encoder.identity = {**station.encoder.identity, "weights_sha256": "other"}
    with pytest.raises(CacheMismatch, match=r"the weights"):
        station.check()


def test_what_was_begun_is_continued_as_it_was(station: Station) -> None:
    manifest = station.brief.folder.read_json("manifest.json")
    station.prepare()
    assert json.dumps(station.brief.folder.read_json("manifest.json")) == json.dumps(manifest)
