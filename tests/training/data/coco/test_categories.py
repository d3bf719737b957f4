"""Categories of COCO files: results and ground truth agree on their ids, and rectangles go by their labels."""

import logging
from pathlib import Path

import numpy as np
import pytest
from coco_help import NAMES, OTHER, Content, Person, coco, flat, padded, schema_of, tight, write

from vitpose import People
from vitpose.data import read_dataset, read_ground_truth
from vitpose.metrics import coco_keypoint_metrics
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.data.readers.coco import read_coco
from vitpose.training.evaluation.score import to_coco_results

SETTINGS = ProcessorSettings(crop_size=(64, 48))


def lay_out(root: Path, workplace, content: Content, *, split: str = "val") -> Path:
    """A folder of the photos, as the dataset coco has them."""
    folder, people = workplace
    for part in ("annotations", split):
        (root / part).mkdir(exist_ok=True)
    for person in people:
        (root / split / person["name"]).symlink_to(folder / person["name"])
    write(root / "annotations", content, f"person_keypoints_{split}.json")
    return root


def numbered(people: list[Person], number: object, *others: dict) -> Content:
    """COCO's own form, with another id of the category."""
    content = coco(people, category_id=lambda person: number)
    content["categories"][0]["id"] = number
    return content | {"categories": [*others, *content["categories"]]}


def with_animal(people: list[Person], keypoints: list[str]) -> Content:
    """A second skeleton, and one of the photos' people said to be of it."""
    animal = {"id": 23, "name": "bear", "keypoints": keypoints}
    content = numbered(people, 1, animal)
    content["annotations"].append({**content["annotations"][0], "id": 60, "category_id": 23})
    return content


def without_category(people: list[Person]) -> Content:
    content = numbered(people, 31)
    del content["annotations"][0]["category_id"]
    return content


def photo_twice(people: list[Person]) -> Content:
    content = numbered(people, 1)
    return content | {"images": [*content["images"], dict(content["images"][-1])]}


CAR = {"id": 1, "name": "tram"}
FILES = [
    pytest.param(lambda people: numbered(people, 1), None, id="1"),
    pytest.param(lambda people: numbered(people, 0), 0, id="0"),
    pytest.param(lambda people: numbered(people, 12), 12, id="12"),
    pytest.param(lambda people: numbered(people, "12"), 12, id="a text"),
    pytest.param(lambda people: numbered(people, 5.0), 5, id="with a point"),
    pytest.param(lambda people: numbered(people, 3, CAR), 3, id="1 is something else"),
    pytest.param(lambda people: with_animal(people, list("abcde")), None, id="another skeleton as large"),
    pytest.param(without_category, 31, id="somebody of no category"),
    pytest.param(photo_twice, None, id="a photo twice, word for word"),
]


@pytest.mark.parametrize("boxes", ["annotated", "detected"])
@pytest.mark.parametrize(("form", "number"), FILES)
def test_perfect_results_are_perfect_whatever_the_category_is(workplace, tmp_path, form, number, boxes):
    people = workplace[1]
    root = lay_out(tmp_path, workplace, form(people))
    known = 1 if number is None else number
    found = [
        {"image_id": n, "category_id": category, "bbox": person["box"], "score": 0.9}
        for n, person in enumerate(people, start=1)
        for category in (known, 77)
    ]
    choices = {"split": "val", "schema": schema_of()}
    detections = write(tmp_path, found, "found.json") if boxes == "detected" else None
    rows = read_dataset("coco", root, **choices, boxes=detections)
    assert ("category_id" in rows.column_names) == (number is not None)
    predicted = People.annotated([person["keypoints"] for person in people], schema_of())
    results = to_coco_results(predicted, rows, settings=SETTINGS, annotated_boxes=boxes == "annotated")
    assert {result["category_id"] for result in results} == {known}
    metrics = coco_keypoint_metrics(results, read_ground_truth("coco", root, **choices), sigmas=(0.05,) * 5)
    assert (metrics["AP"], metrics["AR"]) == (1.0, 1.0)


def test_a_species_that_is_found_and_annotated_nowhere_is_known(workplace, tmp_path):
    """The file is not taken as it is, for want of an area; its species stay."""
    lynx = {"id": 8, "name": "lynx", "keypoints": list(NAMES)}
    content = numbered(workplace[1], 4, lynx)
    del content["annotations"][0]["area"]
    root = lay_out(tmp_path, workplace, content)
    truth = read_ground_truth("coco", root, split="val", schema=schema_of())
    assert sorted(entry["id"] for entry in truth["categories"]) == [4, 8]
    results = [
        {"image_id": n, "category_id": category, "keypoints": flat(person), "score": score}
        for n, person in enumerate(workplace[1], start=1)
        for category, score in ((4, 0.9), (8, 0.8))
    ]
    assert coco_keypoint_metrics(results, truth, sigmas=(0.05,) * 5)["AP"] == 1.0


def test_the_ground_truth_is_of_the_chosen_category(workplace, tmp_path):
    goat = {"id": 6, "name": "goat", "keypoints": list(NAMES)}
    content = numbered(workplace[1], 2, goat)
    content["annotations"][1]["category_id"] = 6
    root = lay_out(tmp_path, workplace, content)
    choices = {"split": "val", "schema": schema_of(), "category": "goat"}
    assert read_dataset("coco", root, **choices)["category_id"][:] == [6]
    truth = read_ground_truth("coco", root, **choices)
    assert [(entry["image_id"], entry["category_id"]) for entry in truth["annotations"]] == [(2, 6)]
    assert len(truth["images"]) == 3


def test_boxes_are_of_the_chosen_category_too(workplace, tmp_path):
    goat = {"id": 6, "name": "goat", "keypoints": list(NAMES)}
    root = lay_out(tmp_path, workplace, numbered(workplace[1], 2, goat))
    found = [{"image_id": 1, "category_id": n, "bbox": [1, 1, 30, 40 + n], "score": 0.5} for n in (2, 6, 6)]
    choices = {"split": "val", "schema": schema_of(), "boxes": write(tmp_path, found, "found.json")}
    assert len(read_dataset("coco", root, **choices)) == 3
    assert read_dataset("coco", root, **choices, category="goat")["category_id"][:] == [6, 6]
    with pytest.raises(ValueError, match="category with keypoints: .*got 'gaot'"):
        read_dataset("coco", root, **choices, category="gaot")


def test_a_test_set_that_names_many_things_takes_the_boxes_of_people(workplace, tmp_path):
    things = [{"id": 3, "name": "sofa"}, {"id": 9, "name": "Person"}]
    content = coco(workplace[1]) | {"categories": things}
    del content["annotations"]
    root = lay_out(tmp_path, workplace, content)
    found = [{"image_id": 1, "category_id": n, "bbox": [1, 1, 30, 40], "score": 0.5} for n in (3, 9)]
    boxes = write(tmp_path, found, "found.json")
    rows = read_dataset("coco", root, split="val", schema=schema_of(), boxes=boxes)
    assert rows["category_id"][:] == [9]


def drawn(people: list[Person], label: str, box, *, count: int = 3, number: int = 40) -> Content:
    """Boxes that end at the keypoints, and a rectangle of a label beside each of the first people."""
    content = coco(people, bbox=tight)
    return beside(content, people, label, box, count=count, number=number)


def beside(content: Content, people: list[Person], label: str, box, *, count: int = 3, number: int) -> Content:
    content["categories"].append({"id": number, "name": label})
    for n, person in enumerate(people[:count], start=1):
        entry = {**OTHER, "id": number + n, "image_id": n, "category_id": number, "bbox": box(person)}
        content["annotations"].append(entry)
    return content


def huge(person: Person) -> list[float]:
    return [-900, -900, 2500, 2500]


def around(person: Person) -> list[float]:
    return person["box"]


@pytest.mark.parametrize("label", ["person", "Human", "BBox", "people", "box"])
def test_rectangles_of_people_are_known_by_their_label(workplace, tmp_path, caplog, label):
    """Of one person too, beside those of another label that would fit."""
    content = beside(drawn(workplace[1], label, huge, count=1), workplace[1], "shadow", around, number=70)
    read = read_coco(write(tmp_path, content), workplace[0], schema=schema_of())
    assert read["bbox"][0] == huge(workplace[1][0])
    assert f"1 people have the rectangle around their keypoints for a box: 1 of '{label}'" in caplog.text


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda people: drawn(people, "tram", huge), id="much larger than people"),
        pytest.param(lambda people: drawn(people, "tram", around, count=1), id="around few people"),
        pytest.param(
            lambda people: beside(drawn(people, "tram", around), people, "bench", around, number=70), id="two labels"
        ),
    ],
)
def test_nobody_gets_the_rectangle_of_another_thing(workplace, tmp_path, caplog, form):
    with caplog.at_level(logging.WARNING):
        read = read_coco(write(tmp_path, form(workplace[1])), workplace[0], schema=schema_of())
    np.testing.assert_allclose(read["bbox"][:], [padded(person) for person in workplace[1]])
    assert "3 people have no box, or one that ends at their keypoints" in caplog.text


def test_rectangles_of_an_unknown_label_count_where_they_fit_most_people(workplace, tmp_path, caplog):
    content = drawn(workplace[1], "performer", around, count=2)
    read = read_coco(write(tmp_path, content), workplace[0], schema=schema_of())
    assert read["bbox"][:2] == [person["box"] for person in workplace[1][:2]]
    assert "2 people have the rectangle around their keypoints for a box: 2 of 'performer'" in caplog.text
