"""OpenPose's drawings: colors, order and sizes as image generators were trained on, checked pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from vitpose import People, draw_poses, get_keypoint_schema

COCO = get_keypoint_schema("coco")
WHOLE_BODY = get_keypoint_schema("coco_wholebody")
BLACK = (0, 0, 0)
# A person that faces us with raised arms, in a picture of 300x400; the person's left is at the right.
PLACES = {
    **{"nose": (150, 80), "left_eye": (160, 70), "right_eye": (140, 70), "left_ear": (172, 74), "right_ear": (128, 74)},
    **{"left_shoulder": (190, 120), "right_shoulder": (110, 120), "left_elbow": (230, 90), "right_elbow": (70, 90)},
    **{"left_wrist": (250, 30), "right_wrist": (50, 30), "left_hip": (175, 220), "right_hip": (125, 220)},
    **{"left_knee": (180, 290), "right_knee": (120, 290), "left_ankle": (185, 370), "right_ankle": (115, 370)},
}
NECK = (150, 120)
LIMBS = [  # ends, and the color of the trained-on drawings
    ("neck", "right_shoulder", (255, 0, 0)),
    ("neck", "left_shoulder", (255, 85, 0)),
    ("right_shoulder", "right_elbow", (255, 170, 0)),
    ("right_elbow", "right_wrist", (255, 255, 0)),
    ("left_shoulder", "left_elbow", (170, 255, 0)),
    ("left_elbow", "left_wrist", (85, 255, 0)),
    ("neck", "right_hip", (0, 255, 0)),
    ("right_hip", "right_knee", (0, 255, 85)),
    ("right_knee", "right_ankle", (0, 255, 170)),
    ("neck", "left_hip", (0, 255, 255)),
    ("left_hip", "left_knee", (0, 170, 255)),
    ("left_knee", "left_ankle", (0, 85, 255)),
    ("neck", "nose", (0, 0, 255)),
    ("right_eye", "right_ear", (170, 0, 255)),
    ("left_eye", "left_ear", (255, 0, 170)),
]
JOINTS = {
    **{"nose": (255, 0, 0), "right_shoulder": (255, 170, 0), "right_elbow": (255, 255, 0)},
    **{"right_wrist": (170, 255, 0), "left_shoulder": (85, 255, 0), "left_elbow": (0, 255, 0)},
    **{"left_wrist": (0, 255, 85), "right_hip": (0, 255, 170), "right_knee": (0, 255, 255)},
    **{"right_ankle": (0, 170, 255), "left_hip": (0, 85, 255), "left_knee": (0, 0, 255), "left_ankle": (85, 0, 255)},
    **{"right_eye": (170, 0, 255), "left_eye": (255, 0, 255), "right_ear": (255, 0, 170), "left_ear": (255, 0, 85)},
}


def person(schema=COCO, **moved: tuple[float, float]) -> People:
    """The person above, with the keypoints of the schema that have a place."""
    places = PLACES | moved
    points, scores = torch.zeros(1, schema.num_keypoints, 2), torch.zeros(1, schema.num_keypoints)
    for name, place in places.items():
        points[0, schema.keypoints.index(name)] = torch.tensor(place, dtype=torch.float)
        scores[0, schema.keypoints.index(name)] = 0.9
    return People(
        keypoints_xy=points,
        scores=scores,
        boxes_xywh=torch.tensor([[20.0, 20.0, 260.0, 360.0]]),
        box_scores=torch.ones(1),
        labels=("person",),
        schema=schema,
    )


def draw(people: People, size: tuple[int, int] = (300, 400), **settings) -> Image.Image:
    return draw_poses(Image.new("RGB", size, (90, 120, 30)), people, style="openpose", **settings)


@pytest.mark.parametrize(("start", "end", "color"), LIMBS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_limb_is_a_dimmed_ellipse_in_its_color(start, end, color):
    a, b = (np.array(NECK if name == "neck" else PLACES[name]) for name in (start, end))
    picture = draw(person())
    middle = tuple(((a + b) / 2).astype(int).tolist())
    assert picture.getpixel(middle) == tuple(int(0.6 * value) for value in color)
    across = np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(b - a)
    assert picture.getpixel(tuple(np.round((a + b) / 2 + 7 * across).astype(int).tolist())) == BLACK


@pytest.mark.parametrize(("name", "color"), JOINTS.items())
def test_a_joint_is_a_bright_disc_of_radius_four(name, color):
    x, y = PLACES[name]
    picture = draw(person())
    assert picture.getpixel((x, y)) == picture.getpixel((x + 3, y)) == picture.getpixel((x, y - 4)) == color


def test_the_neck_lies_between_the_shoulders():
    assert draw(person()).getpixel(NECK) == (255, 85, 0)
    unsure = person()
    unsure.scores[0, COCO.keypoints.index("left_shoulder")] = 0.1
    picture = draw(unsure)
    assert picture.getpixel(NECK) == BLACK and picture.getpixel((150, 100)) == BLACK  # nor any limb of it


def test_nothing_of_the_photo_is_left_and_nothing_is_smoothed():
    picture = np.asarray(draw_poses(Image.fromarray(data.astronaut()), person(), style="openpose"))
    assert picture.shape == (512, 512, 3)
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    limbs = {tuple(int(0.6 * value) for value in color) for *_, color in LIMBS}
    nose_to_eyes = {tuple(int(0.6 * value) for value in color) for color in [(85, 0, 255), (255, 0, 255)]}
    assert colors <= {BLACK, (255, 85, 0)} | limbs | nose_to_eyes | set(JOINTS.values())


def test_later_limbs_and_people_cover_earlier_ones():
    """As all people's limbs are drawn before the next limb, a thigh covers another person's arm."""
    raised = person()
    crossing = person(left_elbow=(230, 290), left_wrist=(130, 330))  # an arm over the first person's right leg
    both = People.join([raised, crossing])
    for people in (both, both[[1, 0]]):
        assert draw(people).getpixel((117, 330)) == (0, int(0.6 * 255), int(0.6 * 170))


def test_hands_have_a_hue_a_bone_and_faces_white_dots():
    hand = {"right_hand_root": (50, 30)}
    fingers = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    for finger, x in zip(fingers, range(40, 140, 20), strict=True):
        hand |= {f"right_{finger}{joint}": (x, 180 - 12 * joint) for joint in (1, 2, 3, 4)}
    people = person(WHOLE_BODY, **hand, **{"face-30": (220, 200), "face-67": (240, 200)})
    picture = draw(people)
    assert picture.getpixel((45, 99)) == (255, 0, 0)  # halfway from the root to the thumb: the first hue
    thumb, ring = picture.getpixel((40, 162)), picture.getpixel((100, 162))
    assert thumb == (255, 76, 0)  # the second of twenty hues
    assert ring[2] == 255 and ring[0] < 60  # the fourteenth
    assert picture.getpixel((40, 168)) == (0, 0, 255)  # a joint
    for x in (220, 240):
        assert picture.getpixel((x, 200)) == picture.getpixel((x + 3, 200)) == (255, 255, 255)
        assert picture.getpixel((x + 4, 200)) == BLACK
    assert draw(person(WHOLE_BODY)).getpixel((220, 200)) == BLACK


def test_unsure_keypoints_are_not_drawn():
    people = replace(person(), scores=0.4 * person().scores)
    assert draw(people).getbbox() is not None
    assert draw(people, min_score=0.5).getbbox() is None


def test_people_outside_are_cut_at_the_edge():
    away = replace(person(), keypoints_xy=person().keypoints_xy * 40 - 3000)
    assert draw(away).size == (300, 400)
    assert draw(replace(person(), keypoints_xy=person().keypoints_xy + 1e6)).getbbox() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({name: True}, "OpenPose's style has no boxes, ids, scores") for name in ("boxes", "ids", "scores")),
        ({"color_by": "person"}, "OpenPose's style has no .*other colors"),
        ({"color_by": "persons"}, "Did you mean 'person'"),
        ({"style": "openpoze"}, "Did you mean 'openpose'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        draw_poses(Image.new("RGB", (300, 400)), person(), **{"style": "openpose", **settings})


def test_animals_are_refused_by_name():
    with pytest.raises(ValueError, match="the keypoints of 'ap10k' are of the category 'animal'"):
        draw(People.nobody(get_keypoint_schema("ap10k")))
