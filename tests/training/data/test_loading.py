"""Datasets by their names: where their files lie, real people of each, and a round trip through Parquet."""

import json
from pathlib import Path

import datasets
import pytest
from PIL import Image

import vitpose
from vitpose.data import read_coco, read_people, to_coco_annotations
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.data.columns import EXTRA_FEATURES, PEOPLE_FEATURES
from vitpose.training.data.loading import (
    find_split,
    get_known_dataset,
    list_known_datasets,
    read_dataset,
    read_ground_truth,
)
from vitpose.training.data.shards import by_photo, write_shards
from vitpose.training.metrics.modules import METRIC_FOLDER

# dataset, split, folder of the real sample, its annotation file
SAMPLES = {
    "coco": ("val", "coco", "test_coco.json"),
    "coco_wholebody": ("val2017", "coco", "test_coco_wholebody.json"),
    "aic": ("val", "aic", "test_aic.json"),
    "mpii": ("val", "mpii", "test_mpii.json"),
    "crowdpose": ("test", "crowdpose", "test_crowdpose.json"),
    "ochuman": ("val", "ochuman", "test_ochuman.json"),
    "ap10k": ("test", "ap10k", "test_ap10k.json"),
    "interhand2d": ("test", "interhand2.6m", "test_interhand2.6m_data.json"),
}
# people, photos, columns of their own
COUNTS = {
    "coco": (12, 4, []),
    "coco_wholebody": (12, 4, ["foot_valid", "face_valid", "lefthand_valid", "righthand_valid"]),
    "aic": (9, 3, []),
    "mpii": (5, 5, []),
    "crowdpose": (4, 2, ["crowd_index"]),
    "ochuman": (5, 3, []),
    "ap10k": (2, 2, ["category_id", "category"]),
    "interhand2d": (6, 4, ["hand"]),
}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def link(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(file)


def lay_out(root: Path, samples: Path, name: str) -> None:
    """Links to a real sample where the dataset's download has its files."""
    split, folder, file = SAMPLES[name]
    place = get_known_dataset(name).splits[split][0]
    link(samples / folder / file, root / place.annotations)
    link(samples / folder, root / place.images)
    if name == "interhand2d":
        for part in ("camera", "joint_3d"):
            other = place.annotations.replace("data.json", f"{part}.json")
            link(samples / folder / file.replace("data.json", f"{part}.json"), root / other)


@pytest.fixture(params=SAMPLES)
def sample(request, shared_data, tmp_path) -> tuple[str, Path, str]:
    """Name, folder and split of a dataset with a few real photos."""
    lay_out(tmp_path / "data", shared_data / "samples", request.param)
    return request.param, tmp_path / "data", SAMPLES[request.param][0]


def test_real_people_of_each_dataset_are_read_by_its_name(sample):
    name, root, split = sample
    people = vitpose.read_dataset(name, root, split=split)
    count, photos, extras = COUNTS[name]
    assert (len(people), len(set(people["image_id"]))) == (count, photos)
    assert people.column_names == [*PEOPLE_FEATURES, *extras]
    assert set(people["dataset"]) == {name}
    schema = get_keypoint_schema(get_known_dataset(name).schema)
    for person in people:
        assert len(person["keypoints"]) == schema.num_keypoints
        photo = Image.open(person["image"]["path"])
        assert photo.size == (person["width"], person["height"])


def test_real_keypoints_lie_in_their_boxes(sample):
    """Boxes are loose by a tenth at most, so that a box or a keypoint in other units or another frame would be seen."""
    name, root, split = sample
    inside = total = 0
    for person in read_dataset(name, root, split=split):
        left, top, width, height = person["bbox"]
        for x, y, flag in person["keypoints"]:
            total += flag > 0
            in_x = -0.1 * width <= x - left <= 1.1 * width
            inside += flag > 0 and in_x and -0.1 * height <= y - top <= 1.1 * height
    assert inside >= 0.95 * total


def test_a_round_trip_through_parquet_changes_nothing(sample, tmp_path):
    name, root, split = sample
    people = by_photo(read_dataset(name, root, split=split))
    write_shards(people, tmp_path / "out" / split, split=split, shard_bytes=100_000)
    schema = get_keypoint_schema(get_known_dataset(name).schema)
    again = read_people(f"{tmp_path}/out/{split}/*.parquet", schema=schema)
    assert again.features == people.features
    assert again.remove_columns("image")[:] == people.remove_columns("image")[:]
    assert [row["bytes"] for row in again["image"]] == [Path(row["path"]).read_bytes() for row in people["image"]]


def test_ground_truth_holds_everyone(sample):
    """COCO has two people without a labeled keypoint, CrowdPose one: nobody trains on them, detections meet them."""
    name, root, split = sample
    truth = read_ground_truth(name, root, split=split)
    unlabeled = {"coco": 2, "coco_wholebody": 2, "crowdpose": 1}.get(name, 0)
    count, photos, _ = COUNTS[name]
    assert (len(truth["annotations"]), len(truth["images"])) == (count + unlabeled, photos)


@pytest.mark.parametrize("name", ["aic", "crowdpose"])
def test_areas_without_outlines_are_a_share_of_the_box(shared_data, tmp_path, name):
    lay_out(tmp_path, shared_data / "samples", name)
    split = SAMPLES[name][0]
    for person in (
        *read_dataset(name, tmp_path, split=split),
        *read_ground_truth(name, tmp_path, split=split)["annotations"],
    ):
        assert person["area"] == pytest.approx(0.53 * person["bbox"][2] * person["bbox"][3])


def test_real_boxes_of_a_detector_lie_in_their_usual_place(shared_data, tmp_path):
    lay_out(tmp_path, shared_data / "samples", "coco")
    file = tmp_path / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json"
    link(shared_data / "samples" / "coco" / "test_coco_det_AP_H_56.json", file)
    every = read_dataset("coco", tmp_path, split="val", boxes="published")
    assert len(every) == len(json.loads(file.read_text())) == 118
    sure = read_dataset("coco", tmp_path, split="val", boxes=file, min_score=0.3)
    assert sure["box_score"][:] == [score for score in every["box_score"] if score >= 0.3]
    link(
        shared_data / "samples" / "coco" / "test_coco_wholebody.json",
        tmp_path / "annotations" / "coco_wholebody_val_v1.0.json",
    )
    wholebody = read_dataset("coco_wholebody", tmp_path, split="val", boxes="published")
    assert len(wholebody[0]["keypoints"]) == 133


def test_every_dataset_is_complete():
    for name in list_known_datasets():
        known = get_known_dataset(name)
        get_keypoint_schema(known.schema)
        assert known.metrics and known.splits and known.license and known.homepage.startswith("http")
        assert set(known.detections) <= set(known.splits)
        assert all((METRIC_FOLDER / metric).is_dir() for metric in known.metrics)
    assert not set(PEOPLE_FEATURES) & set(EXTRA_FEATURES)


def test_the_page_of_the_datasets_names_every_place(checkout):
    page = (checkout / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name in list_known_datasets():
        known = get_known_dataset(name)
        assert f"`{name}`" in page and known.license in page
        for split, places in known.splits.items():
            assert f"`{split}`" in page
            assert all(f"`{place.annotations}`" in page and f"`{place.images}`" in page for place in places), split


def test_boxes_are_padded_as_in_published_results():
    padded = {name: get_known_dataset(name).padding for name in list_known_datasets()}
    assert padded == dict.fromkeys(padded, 1.25) | {"interhand2d": 1.5}


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        pytest.param(
            "cocoo",
            "val",
            r"dataset: expected one of coco, .*, got 'cocoo'\. Did you mean 'coco'\?",
            id="a misspelled name",
        ),
        pytest.param("mpii", "dev", "MPII Human Pose has the splits train, val, trainval: .* got 'dev'", id="a split"),
        pytest.param("ochuman", "train", "has the splits val, test", id="nobody trains on OCHuman"),
        pytest.param(
            "mpii",
            "trainval",
            "no annotations/mpii_trainval.json or annotations/mpii_human.* or mpii_human.* in ",
            id="all places are named",
        ),
        pytest.param("coco", "dev", "no annotations/person_keypoints_dev.json in", id="COCO's layout, any split"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, name, split, message):
    with pytest.raises(ValueError, match=message):
        find_split(name, tmp_path, split)


def test_the_folder_itself_may_be_missing(tmp_path):
    with pytest.raises(ValueError, match="There is no data folder .*absent. Check data_dir"):
        read_dataset("coco", tmp_path / "absent", split="val")


def test_boxes_are_published_for_some_splits_only(shared_data, tmp_path):
    lay_out(tmp_path, shared_data / "samples", "mpii")
    with pytest.raises(ValueError, match="MPII Human Pose: there are published boxes for no split, not for 'val'"):
        read_dataset("mpii", tmp_path, split="val", boxes="published")


def test_crowdpose_counts_the_joints_of_limbs_alone(shared_data):
    """Its own `num_keypoints`, which decides who is ignored, leaves out head and neck."""
    folder = shared_data / "samples" / "crowdpose"
    schema = get_keypoint_schema("crowdpose")
    people = read_coco(folder / "test_crowdpose.json", folder, schema=schema, min_keypoints=1)
    truth = {
        a["id"]: a["num_keypoints"] for a in json.loads((folder / "test_crowdpose.json").read_text())["annotations"]
    }
    ours = to_coco_annotations(people, schema)["annotations"]
    assert [a["num_keypoints"] for a in ours] == [truth[number] for number in people["person_id"]]
    assert {a["num_keypoints"] for a in ours} == {5, 10, 12}
