"""Keypoint schemas: complete, consistent, and loud about mistakes."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vitpose.base.remote_code import remote_code
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, list_keypoint_schemas

NUM_KEYPOINTS = {
    "coco": 17,
    "aic": 14,
    "mpii": 16,
    "crowdpose": 14,
    "ochuman": 17,
    "coco_wholebody": 133,
    "ap10k": 17,
    "apt36k": 17,
    "interhand2d": 21,
    "lspet": 14,
}
SIDES = (("left_", "right_"), ("L_", "R_"))
ALL = list_keypoint_schemas()
# single hands, and a horse seen from the side: nothing to swap
WITHOUT_PAIRS = {"coco_wholebody_hand", "freihand2d", "horse10", "interhand2d", "onehand10k"}


@pytest.mark.parametrize(("name", "expected"), NUM_KEYPOINTS.items())
def test_datasets_have_their_published_number_of_keypoints(name: str, expected: int) -> None:
    assert get_keypoint_schema(name).num_keypoints == expected


@pytest.mark.parametrize("name", ALL)
def test_mirroring_twice_changes_nothing(name: str) -> None:
    index = get_keypoint_schema(name).flip_index
    assert [index[i] for i in index] == list(range(len(index)))


@pytest.mark.parametrize("name", ALL)
def test_flip_pairs_are_the_left_and_right_of_the_names(name: str) -> None:
    schema = get_keypoint_schema(name)
    by_name = set()
    for left, right in SIDES:
        for point in schema.keypoints:
            twin = point.replace(left, right, 1)
            if point.startswith(left) and twin in schema.keypoints:
                by_name.add(frozenset((point, twin)))
    by_pairs = {frozenset((schema.keypoints[i], schema.keypoints[j])) for i, j in schema.flip_pairs}
    by_pairs = {pair for pair in by_pairs if not any(point.startswith("face-") for point in pair)}
    assert by_pairs == by_name
    assert bool(by_pairs) == (name not in WITHOUT_PAIRS)


@pytest.mark.parametrize("name", ALL)
def test_files_are_named_as_the_schema_and_survive_json(name: str) -> None:
    schema = get_keypoint_schema(name)
    assert schema.name == name
    assert KeypointSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_schemas_equal_the_published_descriptions(shared_data: Path) -> None:
    paths = sorted((shared_data / "keypoints").glob("*.json"))
    assert len(paths) >= 18
    for path in paths:
        published = json.loads(path.read_text())
        assert published.pop("num_keypoints") == get_keypoint_schema(path.stem).num_keypoints
        assert get_keypoint_schema(path.stem).to_dict() == published | {
            "category": get_keypoint_schema(path.stem).category
        }


@pytest.mark.parametrize(
    ("category", "names"),
    [
        ("animal", ["animalpose", "ap10k", "apt36k", "horse10", "macaque"]),
        ("hand", ["coco_wholebody_hand", "freihand2d", "interhand2d", "onehand10k"]),
    ],
)
def test_what_is_no_person_says_so(category: str, names: list[str]) -> None:
    found = [name for name in list_keypoint_schemas() if get_keypoint_schema(name).category == category]
    assert sorted(found) == names


def test_apt36k_shares_everything_with_ap10k_but_its_origin() -> None:
    ap10k = get_keypoint_schema("ap10k")
    apt36k = get_keypoint_schema("apt36k")
    assert apt36k != ap10k
    assert dataclasses.replace(apt36k, name="ap10k", paper=ap10k.paper, homepage=ap10k.homepage) == ap10k


def test_lspet_sigmas_are_those_of_the_coco_joints() -> None:
    lspet, coco = get_keypoint_schema("lspet"), get_keypoint_schema("coco")
    of_coco = dict(zip(coco.keypoints, coco.sigmas, strict=True))
    of_coco["neck"] = of_coco["head_top"] = of_coco["left_shoulder"]
    assert lspet.sigmas == tuple(of_coco[point] for point in lspet.keypoints)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"keypoint schema: expected one of aic, .*, got 'coc'\. Did you mean 'coco'"):
        get_keypoint_schema("coc")


BAD_FIELDS = [
    ("no name", {"name": ""}, TypeError, "expected a non-empty string, got ''"),
    ("a list instead of a tuple", {"edges": [(0, 1)]}, TypeError, "edges: expected a tuple, got list"),
    ("no keypoints", {"keypoints": ()}, TypeError, "one or more non-empty strings"),
    ("a keypoint that is not a string", {"keypoints": ("nose", 1, "right_eye")}, TypeError, "non-empty strings"),
    ("a name twice", {"keypoints": ("nose", "eye", "eye")}, ValueError, r"each entry once, got \['eye'\]"),
    ("a keypoint in two pairs", {"flip_pairs": ((0, 1), (1, 2))}, ValueError, r"each entry once, got \[1\]"),
    ("a keypoint paired with itself", {"flip_pairs": ((1, 1),)}, ValueError, "two different keypoint indices"),
    ("three keypoints in a pair", {"flip_pairs": ((0, 1, 2),)}, ValueError, r"got \(0, 1, 2\)"),
    ("a pair out of range", {"flip_pairs": ((1, 3),)}, ValueError, "indices from 0 to 2, got 3"),
    ("an edge with a negative index", {"edges": ((0, -1),)}, ValueError, "indices from 0 to 2, got -1"),
    ("an index that is no integer", {"upper_body": (0.5,)}, ValueError, "indices from 0 to 2, got 0.5"),
    ("a truth value as an index", {"lower_body": (True,)}, ValueError, "got True"),
    ("a keypoint in both halves", {"upper_body": (0, 1), "lower_body": (1,)}, ValueError, r"once, got \[1\]"),
    ("too few sigmas", {"sigmas": (0.1, 0.1)}, ValueError, "sigmas: expected 3 figures, one per keypoint, got 2"),
    ("a sigma of nought", {"sigmas": (0.1, 0.1, 0)}, ValueError, "use None for a dataset without OKS"),
    ("a sigma that is not finite", {"sigmas": (0.1, 0.1, float("nan"))}, ValueError, "finite numbers"),
    ("too many weights", {"joint_weights": (1.0,) * 4}, ValueError, "expected 3 figures, one per keypoint, got 4"),
    ("a negative weight", {"joint_weights": (1.0, -1.0, 1.0)}, ValueError, "0 or more, got -1.0"),
]


def _values(**changes: object) -> dict[str, object]:
    return {
        "name": "face",
        "keypoints": ("nose", "left_eye", "right_eye"),
        "flip_pairs": ((1, 2),),
        "upper_body": (),
        "lower_body": (),
        "edges": ((0, 1), (0, 2)),
        "sigmas": None,
        "joint_weights": (1.0, 1.0, 1.0),
        **changes,
    }


@pytest.mark.parametrize(("why", "changes", "error", "message"), BAD_FIELDS, ids=[row[0] for row in BAD_FIELDS])
def test_bad_fields_are_named(why: str, changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        KeypointSchema(**_values(**changes))


def test_a_dictionary_with_unknown_or_missing_keys_is_refused() -> None:
    values = _values(colours="red")
    del values["edges"]
    with pytest.raises(ValueError, match=r"unknown keys \['colours'\], missing keys \['edges'\]"):
        KeypointSchema.from_dict(values)


def test_the_code_of_a_saved_model_reads_dictionaries_but_no_names(tmp_path: Path) -> None:
    for file, text in remote_code("configuration_vitpose.py").items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    code = (
        "import json, sys; from configuration_vitpose import KeypointSchema, get_keypoint_schema\n"
        "print(KeypointSchema.from_dict(json.load(sys.stdin)).num_keypoints)\n"
        "get_keypoint_schema('coco')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        input=json.dumps(_values()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "3"
    assert "ValueError: The keypoint schema 'coco' cannot be looked up by name here" in run.stderr
    assert "Install vitpose" in run.stderr
