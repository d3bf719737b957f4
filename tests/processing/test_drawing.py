"""Drawn poses lie where the keypoints are, tell left from right, fade with the score and leave the photo alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from vitpose.modeling.keypoint_schemas import get_keypoint_schema, list_keypoint_schemas
from vitpose.processing.drawing import PERSON_COLORS, contact_sheet, draw_poses
from vitpose.processing.drawing_legend import draw_legend
from vitpose.processing.drawing_strokes import SIDE_COLORS
from vitpose.processing.people_vitpose import People

COCO = get_keypoint_schema("coco")


@pytest.fixture(scope="module")
def photo():
    return Image.fromarray(data.astronaut())


def make_person(schema=COCO, *, score=1.0, low=100.0, high=400.0):
    points = np.random.default_rng(0).uniform(low, high, (schema.num_keypoints, 2))
    return {"keypoints": points, "scores": np.full(schema.num_keypoints, score), "bbox": [90.0, 90.0, 410.0, 410.0]}


def only(name, x, y, *, score=1.0):
    """A person with one confident keypoint."""
    points, scores = np.zeros((17, 2)), np.zeros(17)
    points[COCO.keypoints.index(name)] = x, y
    scores[COCO.keypoints.index(name)] = score
    return {"keypoints": points, "scores": scores}


def changed(before, after):
    """How much each pixel changed, `(h, w)`."""
    return np.abs(np.asarray(after, dtype=float) - np.asarray(before.convert("RGB"), dtype=float)).sum(axis=2)


@pytest.mark.parametrize("name", list_keypoint_schemas())
def test_every_schema_is_drawn_with_arrays_and_tensors_alike(name, photo):
    person = make_person(get_keypoint_schema(name))
    tensors = {key: torch.as_tensor(np.asarray(value)) for key, value in person.items()}
    drawn = draw_poses(photo, [person], get_keypoint_schema(name), boxes=True)
    assert drawn.size == photo.size and drawn.mode == "RGB"
    assert changed(photo, drawn).any()
    assert drawn.tobytes() == draw_poses(photo, [tensors], get_keypoint_schema(name), boxes=True).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_the_photo_stays_as_it_was(photo, mode):
    image = photo.convert(mode)
    before = image.tobytes()
    draw_poses(image, [make_person()], COCO)
    assert image.tobytes() == before


def test_a_photo_of_16_bits_is_not_clipped():
    gray = Image.new("I;16", (20, 30), 90 * 257)
    assert draw_poses(gray, [], COCO).getpixel((5, 5)) == (90, 90, 90)
    assert contact_sheet([gray], columns=1).getpixel((136, 104)) == (90, 90, 90)


def test_a_photo_taken_sideways_is_drawn_upright_as_its_keypoints_are():
    image = Image.new("RGB", (30, 20))
    image.getexif()[0x0112] = 6  # orientation: a quarter turn
    assert draw_poses(image, [], COCO).size == (20, 30)


def test_a_keypoint_is_centred_on_its_pixel_to_a_tenth():
    dark = Image.new("RGB", (64, 48))
    for x, y in [(20.0, 30.0), (20.5, 30.25)]:
        weight = changed(dark, draw_poses(dark, [only("nose", x, y)], COCO))
        rows, columns = np.mgrid[:48, :64]
        assert (weight * columns).sum() / weight.sum() == pytest.approx(x, abs=0.1)
        assert (weight * rows).sum() / weight.sum() == pytest.approx(y, abs=0.1)


@pytest.mark.parametrize(("end", "side"), [("knee", "left"), ("knee", "right")])
def test_limbs_have_the_colour_of_their_side(end, side):
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    person = only(f"{side}_hip", 100, 20)
    other = only(f"{side}_{end}", 100, 180)
    both = {key: person[key] + other[key] for key in person}
    assert draw_poses(grey, [both], COCO).getpixel((100, 100)) == SIDE_COLORS[side]


def test_low_scores_fade_and_scores_below_the_minimum_vanish():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    confident, faint, absent = (
        changed(grey, draw_poses(grey, [only("nose", 32, 32, score=s)], COCO)).sum() for s in (1, 0.3, 0.1)
    )
    assert confident > 1.2 * faint > 0
    assert absent == 0


def test_scores_of_seven_tenths_and_more_are_opaque():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    below, enough, full = (draw_poses(grey, [only("nose", 32, 32, score=s)], COCO) for s in (0.65, 0.7, 1))
    assert np.array_equal(enough, full)
    assert not np.array_equal(below, enough)


def test_strokes_grow_with_the_person():
    grey = Image.new("RGB", (512, 512), (128, 128, 128))
    large, small = make_person(low=50, high=450), make_person(low=230, high=270)
    areas = [(changed(grey, draw_poses(grey, [person], COCO)) > 0).sum() for person in (large, small)]
    assert areas[0] > 10 * areas[1]


def test_points_outside_the_photo_are_cut_at_its_edge(photo):
    person = make_person()
    person["keypoints"] = person["keypoints"] * 50 - 4000
    assert draw_poses(photo, [person], COCO).size == photo.size
    person["keypoints"] = person["keypoints"] * 0 - 1e9
    assert draw_poses(photo, [person], COCO).tobytes() == photo.tobytes()


def test_nobody_leaves_the_photo_unchanged(photo):
    assert draw_poses(photo, [], COCO).tobytes() == photo.tobytes()


def test_hidden_keypoints_may_have_no_coordinates(photo):
    person = make_person()
    person["scores"][3] = 0.0
    expected = draw_poses(photo, [person], COCO).tobytes()
    person["keypoints"][3] = np.nan
    assert draw_poses(photo, [person], COCO).tobytes() == expected


BAD_PEOPLE = [
    (
        "other keypoint counts than the schema's",
        {"keypoints": np.zeros((14, 2))},
        r"needs keypoints \(17, 2\).*got \(14, 2\)",
    ),
    ("a confident keypoint without coordinates", {"keypoints": np.full((17, 2), np.nan)}, "must be finite"),
    ("a score that is not a number", {"scores": np.full(17, np.nan)}, "must be finite"),
    ("a box of five numbers", {"bbox": [0, 0, 1, 1, 1]}, "finite `bbox` of x1, y1, x2, y2"),
]


@pytest.mark.parametrize(("sentence", "fields", "message"), BAD_PEOPLE, ids=[row[0] for row in BAD_PEOPLE])
def test_bad_people_are_named(sentence, fields, message, photo):
    with pytest.raises(ValueError, match=f"person 1: .*{message}"):
        draw_poses(photo, [make_person(), make_person() | fields], COCO, boxes=True)


def test_an_array_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"PIL\.Image\.fromarray"):
        draw_poses(data.astronaut(), [], COCO)


def test_sheet_has_equal_tiles_and_keeps_proportions(photo):
    red = Image.new("RGB", (100, 50), (255, 0, 0))
    sheet = contact_sheet([photo, red, photo], columns=2, tile=(60, 80), gap=10)
    assert sheet.size == (2 * 90 + 10, 2 * 70 + 10)
    reds = np.all(np.asarray(sheet) == (255, 0, 0), axis=2)
    assert reds.sum() == 80 * 40
    assert contact_sheet([red], columns=4, tile=(60, 80), captions=["OKS 0.93"]).height > 60 + 2 * 8


def test_sheet_refuses_captions_that_do_not_fit(photo):
    with pytest.raises(ValueError, match="got 1 for 2 images"):
        contact_sheet([photo, photo], columns=2, captions=["one"])
    with pytest.raises(ValueError, match="needs images"):
        contact_sheet([], columns=2)


def test_real_people_are_drawn(shared_data):
    image = Image.open(shared_data / "photos" / "messi5.jpg")
    drawn = draw_poses(image, [make_person(low=60, high=300)], COCO)
    assert drawn.size == image.size and changed(image, drawn).any()


def test_track_ids_stand_above_the_boxes():
    person = make_person(low=120, high=300) | {"bbox": [100.0, 100, 320, 320]}
    people = People.from_tensors([person], COCO)
    gray = Image.new("RGB", (512, 512), (128, 128, 128))
    numbered = draw_poses(gray, replace(people, track_ids=torch.tensor([7])))
    rows, columns = np.nonzero(changed(draw_poses(gray, people), numbered))
    assert rows.min() > 80 and rows.max() < 104 and columns.min() > 200 and columns.max() < 220


def gray_scene(*people, track_ids=None):
    """A gray picture and the people in it."""
    batch = People.from_tensors(people, COCO)
    ids = None if track_ids is None else torch.tensor(track_ids)
    return Image.new("RGB", (512, 512), (128, 128, 128)), replace(batch, track_ids=ids)


def test_the_weakest_keypoint_that_is_drawn_can_be_seen():
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    person = only("left_hip", 32, 32, score=0.2)
    person["keypoints"][COCO.keypoints.index("left_knee")] = 32, 60
    person["scores"][COCO.keypoints.index("left_knee")] = 0.2
    red, _, blue = draw_poses(gray, [person], COCO).getpixel((32, 46))
    full_red, _, full_blue = SIDE_COLORS["left"]
    assert (128 - red) / (128 - full_red) > 0.55 and (blue - 128) / (full_blue - 128) > 0.55


def test_ids_and_scores_are_written_on_request():
    person = make_person(low=120, high=300) | {"bbox": [100.0, 100, 420, 420]}
    gray, untracked = gray_scene(person)
    _, tracked = gray_scene(person, track_ids=[7])
    plain = draw_poses(gray, untracked)
    rows, _ = np.nonzero(changed(plain, draw_poses(gray, untracked, scores=True)))
    assert rows.min() > 75 and rows.max() < 104
    assert draw_poses(gray, untracked, ids=True) != plain
    assert draw_poses(gray, tracked, ids=False) == plain
    assert draw_poses(gray, tracked) == draw_poses(gray, tracked, ids=True) != draw_poses(gray, untracked, ids=True)


def test_a_person_may_have_a_color_which_follows_the_track_id():
    def colors(people):
        drawn = np.asarray(draw_poses(gray, people, color_by="person", ids=False)).reshape(-1, 3)
        return {color for color in PERSON_COLORS if (drawn == color).all(1).any()}

    one, two = make_person(low=50, high=200), make_person(low=280, high=450)
    gray, people = gray_scene(one, two)
    assert colors(people) == set(PERSON_COLORS[:2])
    _, tracked = gray_scene(two, track_ids=[13])
    assert colors(tracked) == {PERSON_COLORS[3]}


def test_a_face_stays_readable():
    """The dots of a face cover little of it, however large the person is drawn."""
    names = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    places = [(256, 120), (286, 90), (226, 90), (316, 100), (196, 100)]
    person = {"keypoints": np.full((17, 2), 480.0), "scores": np.zeros(17)}
    for name, place in zip(names, places, strict=True):
        person["keypoints"][COCO.keypoints.index(name)], person["scores"][COCO.keypoints.index(name)] = place, 1.0
    for name in ("left_shoulder", "right_shoulder", "left_ankle"):
        person["scores"][COCO.keypoints.index(name)] = 1.0
        person["keypoints"][COCO.keypoints.index(name)] = (480, 500) if name == "left_ankle" else (256, 400)
    gray = Image.new("RGB", (512, 512), (128, 128, 128))
    covered = changed(gray, draw_poses(gray, [person], COCO)) > 0
    assert 0.02 < covered[60:180, 186:326].mean() < 0.2


@pytest.mark.parametrize("name", list_keypoint_schemas())
def test_a_legend_shows_the_colors_that_a_schema_is_drawn_in(name):
    schema = get_keypoint_schema(name)
    legend = np.asarray(draw_legend(schema, font_size=20))
    assert legend.shape[0] == 40
    shown = {side for side, color in SIDE_COLORS.items() if (legend == color).all(2).any()}
    person = make_person(schema, low=50, high=450)
    drawn = np.asarray(draw_poses(Image.new("RGB", (512, 512)), [person], schema))
    assert shown >= {side for side, color in SIDE_COLORS.items() if (drawn == color).all(2).any()}
