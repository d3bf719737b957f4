"""Parquet shards: people of a photo together, files of a size, nothing half written."""

from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Image
from PIL import Image as Photo

from vitpose.data import read_people
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.shards import by_photo, write_shards

COCO = get_keypoint_schema("coco")


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def people(tmp_path) -> Dataset:
    """Photos 3, 1 and 2 with people in turn; the photos are noise, tens of thousands of bytes each."""
    rows = []
    for person_id, image_id in enumerate([3, 1, 3, 2, 1, 3]):
        file = tmp_path / f"{image_id}.png"
        Photo.effect_noise((200, 150), 50 + image_id).convert("RGB").save(file) if not file.exists() else None
        box = [1.0, 2.0, 30.0, 20.0]
        row = {"image": {"bytes": None, "path": str(file)}, "bbox": box, "keypoints": [[5.0, 6.0, 2.0]] * 17}
        rows.append({**row, "image_id": image_id, "person_id": person_id, "head_size": float(person_id)})
    return read_people(Dataset.from_list(rows).cast_column("image", Image(decode=False)), schema=COCO)


def test_people_of_a_photo_stand_together(people):
    ordered = by_photo(people)
    assert ordered["image_id"][:] == [3, 3, 3, 1, 1, 2]
    assert ordered["person_id"][:] == [0, 2, 5, 1, 4, 3]


def test_shards_have_a_size_and_split_no_photo(people, tmp_path):
    files = write_shards(by_photo(people), tmp_path / "out", split="val", shard_bytes=1)
    assert [file.name for file in files] == [f"val-0000{n}-of-00003.parquet" for n in range(3)]
    assert [set(pq.read_table(file)["image_id"].to_pylist()) for file in files] == [{3}, {1}, {2}]
    (whole,) = write_shards(by_photo(people), tmp_path / "whole", split="val", shard_bytes=10**6)
    assert whole.name == "val-00000-of-00001.parquet"


def test_a_photo_is_stored_once_for_all_its_people(people, tmp_path):
    photos = {row["path"] for row in people["image"]}
    (file,) = write_shards(by_photo(people), tmp_path / "out", split="val", shard_bytes=10**9)
    column = next(
        column
        for column in map(pq.ParquetFile(file).metadata.row_group(0).column, range(20))
        if column.path_in_schema == "image.bytes"
    )
    size = sum(Path(photo).stat().st_size for photo in photos)
    assert 0.9 * size < column.total_uncompressed_size < 1.1 * size


def test_what_is_read_back_is_what_was_written(people, tmp_path):
    ordered = by_photo(people)
    write_shards(ordered, tmp_path / "out", split="val", shard_bytes=1)
    again = read_people(tmp_path / "out", schema=COCO, split="val")
    assert again.features == ordered.features
    assert again.remove_columns("image")[:] == ordered.remove_columns("image")[:]
    second = write_shards(again, tmp_path / "second", split="val", shard_bytes=1)  # from bytes this time
    first = sorted((tmp_path / "out").iterdir())
    assert [file.read_bytes() for file in second] == [file.read_bytes() for file in first]


def test_a_folder_is_whole_or_absent(people, tmp_path):
    ordered = by_photo(people)
    (tmp_path / "2.png").unlink()
    with pytest.raises(FileNotFoundError):
        write_shards(ordered, tmp_path / "out", split="val", shard_bytes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "3.png"]


def test_nothing_is_overwritten(people, tmp_path):
    write_shards(people, tmp_path / "out", split="val", shard_bytes=10**6)
    with pytest.raises(FileExistsError, match="out exists already"):
        write_shards(people, tmp_path / "out", split="val", shard_bytes=10**6)


def test_a_shard_has_a_size(people, tmp_path):
    with pytest.raises(ValueError, match="shard_bytes: expected 1 or more, got 0"):
        write_shards(people, tmp_path / "out", split="val", shard_bytes=0)
