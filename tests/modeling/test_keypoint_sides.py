"""Left and right are found whatever a tool calls them, and nowhere else."""

import re

import pytest

from vitpose.modeling.keypoint_schemas import get_keypoint_schema, list_keypoint_schemas, schema_from_labels
from vitpose.modeling.keypoint_sides import keypoint_sides, mirror_pairs, same_keypoints, unify_names

COCO = get_keypoint_schema("coco")


def camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


def suffix(name):
    return "_".join(reversed(name.split("_")))


def letters(name, *, upper=False):
    left, right = "LR" if upper else "lr"
    return name.replace("left", left).replace("right", right)


SPELLINGS = {
    "left_eye": lambda name: name,
    "Left Eye": lambda name: name.replace("_", " ").title(),
    "LEFT-EYE": lambda name: name.replace("_", "-").upper(),
    "LeftEye": camel,
    "leftEye": lambda name: camel(name)[0].lower() + camel(name)[1:],
    "lefteye": lambda name: name.replace("_", ""),
    "eye_left": suffix,
    "EyeLeft": lambda name: camel(suffix(name)),
    "L_eye": lambda name: letters(name, upper=True),
    "l.eye": lambda name: letters(name).replace("_", "."),
    "(L) eye": lambda name: name.replace("left_", "(L) ").replace("right_", "(R) "),
    "LEye": lambda name: letters(camel(name).replace("Left", "left").replace("Right", "right"), upper=True),
    "leye": lambda name: letters(name).replace("_", ""),
    "LEYE": lambda name: letters(name).replace("_", "").upper(),
    "eye_l": lambda name: suffix(letters(name)),
    "Eye.L": lambda name: suffix(letters(name, upper=True)).title().replace("_", "."),
    "EyeL": lambda name: camel(suffix(letters(name))),
    "eyel": lambda name: suffix(letters(name)).replace("_", ""),
    "mixamorig:LeftEye": lambda name: f"mixamorig:{camel(name)}",
    "kp1 left eye": lambda name: f"kp1 {name.replace('_', ' ')}",
    "linkes_eye": lambda name: name.replace("left", "linkes").replace("right", "rechtes"),
    "oeil_gauche": lambda name: suffix(name).replace("left", "gauche").replace("right", "droit"),
    "ojo_izq": lambda name: suffix(name).replace("left", "izq").replace("right", "der"),
    "olho_esq": lambda name: suffix(name).replace("left", "esq").replace("right", "dir"),
    "左eye": lambda name: name.replace("left_", "左").replace("right_", "右"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_keypoints_have_the_same_pairs(spelling):
    names = [SPELLINGS[spelling](name) for name in COCO.keypoints]
    assert spelling == "left_eye" or names[1:3] != list(COCO.keypoints[1:3])
    assert mirror_pairs(names) == COCO.flip_pairs
    assert keypoint_sides(names) == keypoint_sides(COCO.keypoints)


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if not re.match("mixamorig|kp1", name)])
def test_spellings_of_coco_are_coco(spelling):
    names = [SPELLINGS[spelling](name) for name in COCO.keypoints]
    assert same_keypoints(names, COCO.keypoints)
    assert schema_from_labels(names) == COCO


@pytest.mark.parametrize("name", list_keypoint_schemas())
def test_names_give_the_pairs_of_the_known_schemas(name):
    schema = get_keypoint_schema(name)
    by_place = {
        index for index, label in enumerate(schema.keypoints) if label.startswith("face-")
    }  # numbered, no names
    known = {frozenset(pair) for pair in schema.flip_pairs if not by_place & {*pair}}
    assert {frozenset(pair) for pair in mirror_pairs(schema.keypoints)} == known


@pytest.mark.parametrize(
    "names",
    [
        ["lip", "rim", "tail", "rear", "leg", "ear"],
        ["light", "bright", "upright"],
        ["L1", "L2", "L3"],  # of a spine: nothing is right
        ["left_eye", "nose"],
        ["root", "loot_bag"],
        ["left_a", "a_left", "right_a"],  # two left ones, so which is the pair is anybody's guess
    ],
)
def test_what_is_no_pair_is_none(names):
    assert mirror_pairs(names) == ()


def test_a_whole_word_needs_no_partner_and_a_letter_does():
    assert keypoint_sides(["left_horn", "r_horn_2", "lip", "cleft"]) == ("left", "center", "center", "center")


def test_where_others_are_spelled_with_a_letter_one_alone_counts_too():
    names = ["L_Eye", "R_Eye", "Left Front Paw", "R_F_Paw", "Nose"]
    assert keypoint_sides(names) == ("left", "right", "left", "right", "center")
    assert mirror_pairs(names) == ((0, 1),)  # "front" and "F" are not known to be the same


def test_numbered_parts_are_not_left_ones():
    names = ["l_eye", "r_eye", "L1", "L5"]  # of a spine
    assert keypoint_sides(names) == ("left", "right", "center", "center")
    assert unify_names(names) == ["left_eye", "right_eye", "l_1", "l_5"]


def test_quadrupeds_with_two_letters():
    names = ["LF_paw", "RF_paw", "LH_paw", "RH_paw", "tail"]
    assert mirror_pairs(names) == ((0, 1), (2, 3))
    names = ["paw_fl", "paw_fr", "paw_hl", "paw_hr"]
    assert mirror_pairs(names) == ((0, 1), (2, 3))


def test_unknown_keypoints_keep_their_spelling():
    schema = schema_from_labels(["Handle L", "Handle R", "Tip of Blade"])
    assert schema.keypoints == ("Handle L", "Handle R", "Tip of Blade")
    assert schema.flip_pairs == ((0, 1),)
    assert unify_names(schema.keypoints) == ["left_handle", "right_handle", "tip_of_blade"]
