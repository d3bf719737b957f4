"""What programs write otherwise than COCO does, the same people read from it, and what is refused by file and entry."""

import json
import logging
import re

import numpy as np
import pytest
from coco_help import (
    NAMES,
    NOTHING,
    Content,
    coco,
    each,
    first,
    read_changed,
    schema_of,
    tight,
    two_skeletons,
    write,
)

from vitpose.data import schema_from_annotations


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        pytest.param(lambda c: b"\xef\xbb\xbf" + json.dumps(c).encode(), None, id="a byte order mark"),
        pytest.param(lambda c: json.dumps(c).encode("utf-16"), None, id="UTF-16"),
        pytest.param(each("id", str), None, id="ids of annotations are texts"),
        pytest.param(each("image_id", float), None, id="ids of images have a point"),
        pytest.param(each("id", lambda value: 0), "2 annotations have no id, .* on from 1", id="the same id for all"),
        pytest.param(first({"id": NOTHING}), "1 annotations have no id, .* on from 4", id="no id"),
        pytest.param(each("category_id", str), None, id="categories are texts"),
        pytest.param(each("iscrowd", lambda value: None), None, id="iscrowd null"),
        pytest.param(each("area", lambda value: None), None, id="area null"),
        pytest.param(first({"area": "12.5"}), None, id="an area is a text"),
        pytest.param(each("bbox", lambda box: [str(value) for value in box]), None, id="boxes are texts"),
        pytest.param(each("keypoints", lambda k: np.reshape(k, (5, 3)).tolist()), None, id="nested keypoints"),
        pytest.param(each("keypoints", lambda k: [str(value) for value in k]), None, id="keypoints are texts"),
        pytest.param(
            each("keypoints", lambda k: [v if k[i - i % 3 + 2] else (None, None, 0)[i % 3] for i, v in enumerate(k)]),
            None,
            id="null for a keypoint that is not there",
        ),
        pytest.param(each("keypoints", lambda k: [*k, 0, 0, 0]), None, id="zeros as far as a larger skeleton goes"),
        pytest.param(
            each("keypoints", lambda k: [0.3 * v if i % 3 == 2 else v for i, v in enumerate(k)]),
            "3 people have a visibility other",
            id="scores for visibilities",
        ),
        pytest.param(
            each("keypoints", lambda k: [3 if v == 2 and i % 3 == 2 else v for i, v in enumerate(k)]),
            "3 people have a visibility other",
            id="visibility 3",
        ),
        pytest.param(
            each("keypoints", lambda k: [-1 if v == 0 and i % 3 == 2 else v for i, v in enumerate(k)]),
            "people have a visibility other",
            id="visibility -1 for what is not there",
        ),
        pytest.param(each("width", lambda value: 0, of="images"), "sizes of 3 photos are read", id="width 0"),
        pytest.param(each("height", lambda value: 12.5, of="images"), "sizes of 3 photos are read", id="height 12.5"),
        pytest.param(
            lambda c: c["images"].append({"id": 50, "file_name": "not_there.png"}), None, id="a photo of nobody is away"
        ),
        pytest.param(lambda c: c["images"].append(dict(c["images"][0])), None, id="an image twice, word for word"),
        pytest.param(each("track_id", lambda value: "left"), None, id="tracks that are no numbers"),
    ],
)
def test_people_are_the_same_whatever_program_wrote_them(workplace, tmp_path, caplog, change, warning):
    with caplog.at_level(logging.WARNING):
        read = read_changed(workplace, tmp_path, change)
    assert len(read) == 3
    for row, person in zip(read, workplace[1], strict=True):
        points = np.array(row["keypoints"])
        np.testing.assert_array_equal(points[:, :2], person["keypoints"][:, :2])
        np.testing.assert_array_equal(points[:, 2] > 0, person["keypoints"][:, 2] > 0)
        assert row["bbox"] == person["box"]
        assert row["area"] in (500, 12.5, pytest.approx(person["box"][2] * person["box"][3]))
        assert (row["width"], row["height"]) == person["size"]
    assert len(set(read["person_id"])) == 3
    assert (re.search(warning, caplog.text) is not None) if warning else not caplog.messages


def test_pairs_of_coordinates_are_not_taken_for_fewer_keypoints(workplace, tmp_path):
    """Six pairs are as many numbers as four keypoints with visibilities."""
    six = schema_of((*NAMES, "tail"))
    pairs, triples = [float(value) for value in range(20, 32)], [20.0, 30.0, 2.0] * 4
    for change, choices in ((pairs, {}), (triples, {"match": "annotation 1: .*18 numbers .* got 12"})):

        def changed(content, change=change):
            del content["categories"][0]["keypoints"]
            each("keypoints", lambda _: change)(content)

        if choices:
            with pytest.raises(ValueError, **choices):
                read_changed(workplace, tmp_path, changed, schema=six)
        else:
            keypoints = read_changed(workplace, tmp_path, changed, schema=six)[0]["keypoints"]
            assert keypoints[0] == [20, 21, 2] and keypoints[5] == [30, 31, 2]


@pytest.mark.parametrize("track", [4, 4.0, "4"])
@pytest.mark.parametrize("inside", [True, False])
def test_tracks_are_whole_numbers(workplace, tmp_path, track, inside):
    field, value = ("attributes", {"track_id": track}) if inside else ("track_id", track)
    assert read_changed(workplace, tmp_path, each(field, lambda _: value))["track_id"][:] == [4, 4, 4]


def test_one_of_several_skeletons_is_chosen_by_the_schema_or_by_name(workplace, tmp_path, caplog):
    assert len(read_changed(workplace, tmp_path, two_skeletons)) == 3
    assert "left out 1 annotations of other keypoints: 1 of the category 'dog'" in caplog.text
    dog = schema_from_annotations(tmp_path / "people.json", category="dog")
    assert (dog.name, dog.keypoints, dog.edges) == ("dog", ("snout", "tail"), ((0, 1),))
    for choice in ({}, {"category": "dog"}):
        assert len(read_changed(workplace, tmp_path, two_skeletons, schema=dog, **choice)) == 1


def test_categories_with_the_same_keypoints_are_together(workplace, tmp_path):
    """The species of AP-10K, in one spelling or in several."""

    def species(content):
        spelled = [name.title().replace("_", " ") for name in NAMES]
        content["categories"].append({"id": 9, "name": "dancer", "keypoints": spelled})
        content["annotations"][1]["category_id"] = 9

    assert read_changed(workplace, tmp_path, species)["category"][:] == ["person", "dancer", "person"]
    one = coco(workplace[1])
    one["categories"].append({**one["categories"][0], "id": 2, "name": "dancer"})
    assert schema_from_annotations(write(tmp_path, one)).keypoints == NAMES


def test_a_single_keypoint_has_no_box(workplace, tmp_path, caplog):
    alone = {"keypoints": [20, 30, 2, *[0] * 12], "bbox": [20, 30, 0, 0], "area": 0}
    assert read_changed(workplace, tmp_path, first(alone))["person_id"][:] == [2, 3]
    assert "left out 1 people with neither a box nor two keypoints" in caplog.text


def test_boxes_that_end_at_the_keypoints_stay_where_others_do_not(workplace, tmp_path, caplog):
    """One may be so by chance."""
    read = read_changed(workplace, tmp_path, first({"bbox": tight(workplace[1][0])}))
    assert read["bbox"][:] == [tight(workplace[1][0]), workplace[1][1]["box"], workplace[1][2]["box"]]
    assert not caplog.messages


def test_people_in_the_first_pixel_are_left_out(workplace, tmp_path, caplog):
    read = read_changed(workplace, tmp_path, first({"keypoints": [0.5, 0.25, 2] * 5}))
    assert read["person_id"][:] == [2, 3]
    assert "left out 1 people whose keypoints all lie in the first pixel" in caplog.text


def fractions(content: Content) -> None:
    each("keypoints", lambda k: [value if i % 3 == 2 else value / 1000 for i, value in enumerate(k)])(content)


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        pytest.param(fractions, {}, "all keypoints lie between 0 and 1.*Multiply x", id="keypoints in 0 to 1"),
        pytest.param(
            each("bbox", lambda box: [value / 1000 for value in box]),
            {},
            "all boxes lie between 0 and 1.*Multiply",
            id="boxes in 0 to 1",
        ),
        pytest.param(
            each("keypoints", lambda k: None), {}, "no keypoints in its 3 annotations.*Use a keypoint file", id="boxes"
        ),
        pytest.param(
            two_skeletons,
            {"schema": schema_of(("a", "b", "c"))},
            r"found 'person' \(5\), 'dog' \(2\).*with --category NAME writes, for `schema`; in Python category=",
            id="several skeletons",
        ),
        pytest.param(
            two_skeletons, {"category": "dogg"}, "one of person, dog, got 'dogg'. Did you mean 'dog'", id="no such one"
        ),
        pytest.param(
            lambda c: c["categories"].append({"id": 9, "name": "car"}),
            {"category": "car"},
            "category with keypoints: expected one of person, got 'car'",
            id="a category without keypoints",
        ),
        pytest.param(first({"category_id": 77}), {}, "annotation 1 has the unknown category 77", id="a category"),
        pytest.param(first({"category_id": "car"}), {}, "annotation 1 has the unknown category car", id="a name"),
        pytest.param(first({"image_id": "x"}), {}, "annotation number 0: expected whole numbers", id="an image's id"),
        pytest.param(first({"image_id": NOTHING}), {}, "annotation 1 lacks .'image_id'", id="no image"),
        pytest.param(first({"id": "x"}, of="images"), {}, "image number 0: expected whole numbers", id="an id"),
        pytest.param(
            first({"file_name": None}, of="images"), {}, "image 1: expected a file_name, got None", id="no name"
        ),
        pytest.param(first({"keypoints": [1, 2, 2] * 4}), {}, "annotation 1: .*15 numbers .* got 12", id="4 keypoints"),
        pytest.param(first({"keypoints": [5, 2, 2] * 6}), {}, "annotation 1: .*15 numbers .* got 18", id="6 keypoints"),
        pytest.param(first({"keypoints": "5 2 2"}), {}, "annotation 1: expected numbers", id="a text of keypoints"),
        pytest.param(first({"keypoints": {"nose": [1, 2]}}), {}, "annotation 1: expected numbers", id="by name"),
        pytest.param(first({"bbox": [1, 2, 3]}), {}, "annotation 1: .*4 numbers .* got 3", id="three numbers"),
        pytest.param(first({"bbox": {"x": 1}}), {}, "annotation 1: expected numbers", id="a box by name"),
        pytest.param(first({"bbox": [9, 9, -5, 4]}), {}, "annotation 1: .*negative size", id="a box drawn upwards"),
    ],
)
def test_what_cannot_be_read_is_refused_by_file_and_entry(workplace, tmp_path, change, choices, message):
    with pytest.raises(ValueError, match=f"people.json.*{message}"):
        read_changed(workplace, tmp_path, change, **choices)
