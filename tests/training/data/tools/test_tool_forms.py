"""Annotations of tools: what each form means, read back equal, by name, by command and in a recipe."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from tool_files import EDGES, NAMES, PAIRS, WRITTEN, Someone, by_photo, make_people, write_photos

import vitpose
from vitpose.data import read_people
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.training.config.checks import check_recipe
from vitpose.training.config.recipe import Recipe
from vitpose.training.data.boxes import PERSON_MARGIN
from vitpose.training.data.loading import read_dataset, read_ground_truth, schema_of_files
from vitpose.training.samples.loaders import evaluation_people, training_people
from vitpose_cli.main import main

PEOPLE = {"train": make_people(seed=1), "val": make_people(seed=2, photos=3)}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(params=WRITTEN)
def written(request, tmp_path):
    """A form and a folder with the splits train and val in it."""
    way, folder = WRITTEN[request.param], tmp_path / "data"
    for split, people in PEOPLE.items():
        write_photos(folder, split, people)
        way.write(folder, split, people)
    return way, folder


def ordered(schema_names, person: Someone) -> np.ndarray:
    points = dict(zip(NAMES, person.keypoints, strict=True))
    return np.array([points[name] for name in schema_names])


@pytest.mark.parametrize("split", PEOPLE)
def test_people_are_read_back_equal(written, split):
    """Keypoints, visibility, boxes, photos and their sizes: what the form can hold comes back as it was."""
    way, folder = written
    names = schema_of_files(folder).keypoints
    schema = own_schema(names)
    people = vitpose.read_dataset(way.form, folder, split=split, schema=schema)
    expected = PEOPLE[split]
    assert len(people) == len(expected) and set(people["dataset"]) == {way.form}
    numbers = {photo: number for number, (photo, _) in enumerate(by_photo(expected), start=1)}
    for row, person in zip(people, expected, strict=True):
        points = ordered(names, person)
        flags = points[:, 2] if way.hidden else 2.0 * (points[:, 2] > 0)
        read = np.array(row["keypoints"])
        np.testing.assert_allclose(read[:, :2], points[:, :2], atol=1e-3)
        assert read[:, 2].tolist() == flags.tolist()
        assert (row["width"], row["height"]) == person.size
        assert row["image_id"] == numbers[person.photo]
        assert Path(row["image"]["path"]).is_file()
        np.testing.assert_allclose(row["bbox"], person.box if way.boxes else around(points), atol=1e-3)


def around(points: np.ndarray) -> list[float]:
    labeled = points[points[:, 2] > 0, :2]
    low, high = labeled.min(0), labeled.max(0)
    margin = PERSON_MARGIN * (high - low).max()
    return [*(low - margin), *(high - low + 2 * margin)]


def own_schema(names) -> KeypointSchema:
    fields = {"upper_body": (), "lower_body": (), "edges": (), "sigmas": None, "flip_pairs": ()}
    return KeypointSchema(name="own", keypoints=tuple(names), joint_weights=(1.0,) * len(names), **fields)


def test_keypoints_are_matched_by_name_whatever_their_order_and_spelling(written):
    """A schema with the names in another order and spelling gets the same keypoints in its order."""
    way, folder = written
    spelled = ("R_Ankle", "Nose", "L_Wrist", "L_Ankle", "R_Wrist")
    meant = ("right_ankle", "nose", "left_wrist", "left_ankle", "right_wrist")
    people = read_dataset(way.form, folder, split="train", schema=own_schema(spelled))
    for row, person in zip(people, PEOPLE["train"], strict=True):
        np.testing.assert_allclose(np.array(row["keypoints"])[:, :2], ordered(meant, person)[:, :2], atol=1e-3)


def test_the_schema_comes_from_the_files(written, tmp_path):
    way, folder = written
    file = tmp_path / "schema.json"
    assert main(["schema", str(folder), "--out", str(file)]) == 0
    schema = KeypointSchema.from_dict(json.loads(file.read_text()))
    assert set(schema.keypoints) == set(NAMES)
    assert not way.ordered or schema.keypoints == NAMES
    pairs = {frozenset((schema.keypoints[a], schema.keypoints[b])) for a, b in schema.flip_pairs}
    assert pairs == {frozenset((NAMES[a], NAMES[b])) for a, b in PAIRS}
    edges = {frozenset((schema.keypoints[a], schema.keypoints[b])) for a, b in schema.edges}
    assert edges == ({frozenset((NAMES[a], NAMES[b])) for a, b in EDGES} if way.edges else set())
    assert (schema.name, schema.category) == (way.category, way.category)


@pytest.mark.parametrize("key", ["yolo", "label_studio", "label_studio_min", "sleap"])
def test_the_file_itself_is_data_too(tmp_path, key):
    way, folder = WRITTEN[key], tmp_path / "data"
    write_photos(folder, "val", PEOPLE["val"])
    file = way.write(folder, "val", PEOPLE["val"])
    assert len(read_dataset(way.form, file, split="val")) == len(PEOPLE["val"])
    assert schema_of_files(file).num_keypoints == len(NAMES)


def test_a_round_trip_through_parquet_changes_nothing(written, tmp_path):
    way, folder = written
    out = tmp_path / "out"
    for split in PEOPLE:
        words = ["convert-data", way.form, "--data", str(folder), "--split", split, "--out", str(out)]
        assert main(words) == 0
    schema = KeypointSchema.from_dict(json.loads((out / "schema.json").read_text()))
    for split in PEOPLE:
        people = read_dataset(way.form, folder, split=split, schema=schema)
        again = read_people(out, schema=schema, split=split)
        assert again.remove_columns("image")[:] == people.remove_columns("image")[:]
    assert f"--schema {out.name}/schema.json" in (out / "README.md").read_text()


def test_a_recipe_takes_keypoints_and_splits_from_the_files(written):
    way, folder = written
    recipe = Recipe.from_fields(data=way.form, data_dir=str(folder), train_people=None, eval_people=None)
    check_recipe(recipe)
    assert set(recipe.keypoint_schema.keypoints) == set(NAMES)
    assert len(training_people(recipe)) == len(PEOPLE["train"])
    assert len(evaluation_people(recipe).annotations["annotations"]) == len(PEOPLE["val"])


def test_one_file_is_not_both_trained_and_evaluated_on_unsaid(tmp_path):
    write_photos(tmp_path, "train", PEOPLE["train"])
    file = WRITTEN["label_studio"].write(tmp_path, "train", PEOPLE["train"])
    fields = {"data": "label_studio", "data_dir": str(file), "train_people": None}
    with pytest.raises(ValueError, match=r"is one file, which would be both train and val\. Give a folder"):
        training_people(Recipe.from_fields(**fields))
    assert len(training_people(Recipe.from_fields(**fields, eval_split="train"))) == len(PEOPLE["train"])


def test_ground_truth_has_all_photos_in_the_numbers_of_the_people(written):
    way, folder = written
    truth = read_ground_truth(way.form, folder, split="val")
    assert [image["id"] for image in truth["images"]] == [1, 2, 3]
    assert {entry["image_id"] for entry in truth["annotations"]} == {1, 2, 3}
