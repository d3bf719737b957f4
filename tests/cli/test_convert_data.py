"""`vitpose convert-data`: from a dataset on disk to a folder for the Hub, and back by name and by command."""

import json
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from vitpose.data import read_people
from vitpose.export.convert_data import parse_size
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.loading import read_dataset
from vitpose_cli.main import main


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def ap10k(tmp_path) -> Path:
    """Two photos with an animal each, in three splits."""
    root = tmp_path / "ap10k"
    (root / "data").mkdir(parents=True)
    (root / "annotations").mkdir()
    images, animals = [], []
    for number in (1, 2):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(root / "data" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        animal = {"id": number, "image_id": number, "category_id": number, "bbox": [1, 2, 30, 40], "area": 600}
        animals.append({**animal, "keypoints": [9, 9, 2] * 17})
    categories = [{"id": number, "name": name} for number, name in ((1, "antelope"), (2, "jaguar"))]
    content = {"images": images, "annotations": animals, "categories": categories}
    for split in ("train", "val"):
        (root / "annotations" / f"ap10k-{split}-split1.json").write_text(json.dumps(content))
    return root


def convert(root: Path, out: Path, split: str, *more: str) -> int:
    return main(["convert-data", "ap10k", "--data", str(root), "--split", split, "--out", str(out), *more])


def test_two_splits_share_a_folder_and_a_card(ap10k, tmp_path):
    out = tmp_path / "out"
    assert convert(ap10k, out, "train", "--shard-size", "1") == 0
    assert convert(ap10k, out, "val-split1") == 0
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.parquet"))
    assert files == [
        "train/train-00000-of-00002.parquet",
        "train/train-00001-of-00002.parquet",
        "val_split1/val_split1-00000-of-00001.parquet",  # the Hub wants word characters
    ]
    card = DatasetCard.load(out / "README.md")
    assert card.data.task_categories == ["keypoint-detection"]
    assert [part["split"] for part in card.data.configs[0]["data_files"]] == ["train", "val_split1"]
    assert "| train | 2 | 2 | 2 |" in card.text and "| val_split1 | 2 | 2 | 1 |" in card.text
    assert "Not for commercial use." in card.text and "| category | string |" in card.text
    schema = get_keypoint_schema("ap10k")
    again = read_people(out, schema=schema, split="val_split1")
    assert again.remove_columns("image")[:] == read_dataset("ap10k", ap10k, split="val").remove_columns("image")[:]
    assert len(datasets.load_dataset(str(out), split="train")) == 2  # as the card's snippet has it


def test_a_split_is_written_once(ap10k, tmp_path, capsys):
    assert convert(ap10k, tmp_path / "out", "train") == 0
    assert convert(ap10k, tmp_path / "out", "train") == 2
    assert "train exists already: choose another folder, or delete it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "train", "--shard-size", "big"], "Expected a size above 0 such as 500MB or 2GB, got 'big'"),
        (["--split", "test"], "There is no annotations/ap10k-test-split1.json in"),
    ],
)
def test_mistakes_end_with_their_message_before_anything_is_written(ap10k, tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    assert main(["convert-data", "ap10k", "--data", str(ap10k), "--out", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("2kb", 2000), ("12", 12)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "5 TB", "MB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="Expected a size above 0"):
        parse_size(text)
