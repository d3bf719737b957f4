"""Pictures of a run show what its log and its predictions say, and are written whole."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.processing.people_vitpose import People
from vitpose.training.pictures import sheets
from vitpose.training.pictures.curves import draw_curves, read_log, save_curves, smooth
from vitpose.training.pictures.sheets import predictions_sheet

COCO = get_keypoint_schema("coco")


def train_line(step, loss=1.0):
    return json.dumps({"step": step, "epoch": step / 10, "loss": loss, "lr": 1e-3, "images_per_s": 9.5}) + "\n"


def eval_line(step, **figures):
    return json.dumps({"step": step, "epoch": step / 10, "eval": figures}) + "\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log.jsonl"


TRAINING = [
    {"step": 10 * step, "loss": loss, "lr": rate}
    for step, (loss, rate) in enumerate(zip(np.linspace(1.0, 0.5, 12), np.linspace(0.2, 0.9, 12), strict=True), start=1)
]


def chart(figure, title):
    (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return axes


def points(line):
    return list(zip(*np.asarray(line.get_data()).tolist(), strict=True))


def test_the_loss_is_drawn_as_it_was_and_smoothed_over_the_steps():
    raw, smoothed = chart(draw_curves(TRAINING, []), "training loss").lines
    losses = [entry["loss"] for entry in TRAINING]
    assert points(raw) == [(entry["step"], entry["loss"]) for entry in TRAINING]
    assert points(smoothed) == [(entry["step"], loss) for entry, loss in zip(TRAINING, smooth(losses), strict=True)]
    assert raw.get_alpha() < 1 < smoothed.get_linewidth()


def test_the_learning_rate_is_drawn_below_the_loss_over_the_same_steps():
    figure = draw_curves(TRAINING, [])
    rate, loss = chart(figure, "learning rate"), chart(figure, "training loss")
    (line,) = rate.lines
    assert points(line) == [(entry["step"], entry["lr"]) for entry in TRAINING]
    assert rate.get_shared_x_axes().joined(rate, loss) and rate.get_xlabel() == "step"
    assert rate.get_ylim()[0] == 0


def test_each_dataset_of_a_mixture_has_its_own_smoothed_loss_where_it_had_samples():
    training = [entry | {"loss/coco": 2 * entry["loss"]} for entry in TRAINING]
    training[3]["loss/mpii"], training[5]["loss/mpii"] = 4.0, 5.0
    axes = chart(draw_curves(training, []), "training loss")
    lines = {line.get_label(): points(line) for line in axes.lines[1:]}
    assert list(lines) == ["all", "coco", "mpii"] == [text.get_text() for text in axes.get_legend().get_texts()]
    assert lines["mpii"] == list(zip([40, 60], smooth([4.0, 5.0]).tolist(), strict=True))
    np.testing.assert_allclose(np.array(lines["coco"])[:, 1], 2 * np.array(lines["all"])[:, 1])


@pytest.mark.parametrize(
    ("sentence", "last", "lines", "scale"),
    [
        ("a loss that spans more than a factor of five", 0.01, 200, "log"),
        ("one of a short run, where the fall is what there is to see", 0.01, 20, "linear"),
        ("one that does not", 0.3, 200, "linear"),
        ("one that touches zero, which has no logarithm", 0.0, 200, "linear"),
    ],
)
def test_a_loss_that_falls_far_is_drawn_in_log_scale(sentence, last, lines, scale):
    training = [{"step": step, "loss": loss, "lr": 1.0} for step, loss in enumerate(np.linspace(1.0, last, lines))]
    assert chart(draw_curves(training, []), "training loss").get_yscale() == scale


def test_primary_metrics_are_drawn_over_the_steps_with_their_last_value_in_words():
    evaluations = [
        {"step": 50, "eval": {"PCK": 0.4, "AP75": 0.2, "AP": 0.1, "by_keypoint": {"nose": 0.5}}},
        {"step": 120, "eval": {"PCK": 0.6, "AP75": 0.3, "AP": 0.3456}},
    ]
    axes = chart(draw_curves(TRAINING, evaluations), "evaluation")
    lines = {line.get_label(): points(line) for line in axes.lines}
    assert lines == {"AP": [(50, 0.1), (120, 0.3456)], "PCK": [(50, 0.4), (120, 0.6)]}
    words = {text.get_text(): text.xy for text in axes.texts}
    assert words == {"AP 0.100 to 0.346": (120, 0.3456), "PCK 0.400 to 0.600": (120, 0.6)}


def test_the_axis_of_steps_begins_at_the_start_and_has_whole_steps_to_the_end_of_the_run():
    training = [{"step": step, "epoch": step / 2, "loss": 1.0, "lr": 0.1} for step in (1, 2, 3)]
    evaluations = [{"step": step, "eval": {"AP": 0.1 * step}} for step in (0, 2, 3)]
    figure = draw_curves(training, evaluations)
    for title in ("learning rate", "evaluation"):
        axes = chart(figure, title)
        assert axes.get_xlim()[0] == 0 and axes.get_xticks().tolist() == [0, 1, 2, 3]
        assert axes.get_xlabel() == "step, 2 an epoch"
    (line,) = chart(figure, "evaluation").lines
    assert points(line)[0] == (0, 0) and not line.get_clip_on()  # the marker at the start is whole


def test_numbers_of_axes_are_written_out():
    training = [entry | {"loss": 1e-3 + 1e-6 * entry["step"], "lr": 3e-4} for entry in TRAINING]
    figure = draw_curves(training, [])
    figure.canvas.draw()
    for title, shown in (("training loss", "0.001"), ("learning rate", "0.000")):
        axes = chart(figure, title)
        assert axes.yaxis.get_offset_text().get_text() == ""
        assert any(label.get_text().startswith(shown) for label in axes.get_yticklabels())


def test_labels_of_lines_that_end_close_together_lie_above_each_other():
    evaluations = [{"step": step, "eval": {"AP": 0.5 + 0.1 * step, "AR": 0.5 + 0.1002 * step}} for step in (0, 1)]
    figure = draw_curves(TRAINING, evaluations)
    figure.canvas.draw()
    low, high = sorted((text.get_window_extent() for text in chart(figure, "evaluation").texts), key=lambda box: box.y0)
    assert high.y0 >= low.y1 - 1


@pytest.mark.parametrize(
    ("sentence", "metrics", "drawn"),
    [
        ("of hands", {"EPE": 9.0, "PCK_box": 0.5, "AUC": 0.4}, ["AUC", "PCK_box"]),
        ("of whole bodies", {"AR_whole": 0.5, "AP_face": 0.2, "AP_whole": 0.4}, ["AP_whole", "AR_whole"]),
        (
            "of a mixture",
            {"mpii/PCKh": 0.5, "coco/AP": 0.4, "coco/AP50": 0.6},
            ["coco/AP", "mpii/PCKh"],
        ),
        (
            "all where none is a primary one",
            {"EPE": 12.0, "AP50": 1.0},
            ["EPE", "AP50"],
        ),
        ("no more than there are colors", {f"{name}/AP": 0.1 for name in "abcdef"}, ["a/AP", "b/AP", "c/AP", "d/AP"]),
    ],
)
def test_which_metrics_are_drawn(sentence, metrics, drawn):
    axes = chart(draw_curves(TRAINING, [{"step": 5, "eval": metrics}]), "evaluation")
    assert [line.get_label() for line in axes.lines] == drawn
    assert len({line.get_color() for line in axes.lines}) == len(drawn)


def test_curves_are_written_as_a_picture_that_is_wider_with_an_evaluation(log, tmp_path):
    log.write_text("".join(train_line(step) for step in range(12)) + eval_line(5, AP=0.1))
    save_curves(log, tmp_path / "new" / "curves.png")
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000
    assert len(draw_curves(TRAINING, []).axes) == 2


def test_a_last_line_that_a_kill_cut_short_is_passed_over(log):
    log.write_text(train_line(1) + train_line(2) + '{"step": 3, "lo')
    training, evaluations = read_log(log)
    assert [entry["step"] for entry in training] == [1, 2] and evaluations == []


def test_the_later_lines_of_a_resumed_run_count(log):
    log.write_text(
        train_line(1)
        + train_line(2, 7.0)
        + eval_line(2, AP=0.1)
        + train_line(2, 5.0)
        + train_line(3)
        + eval_line(2, AP=0.2)
    )
    training, evaluations = read_log(log)
    assert [(entry["step"], entry["loss"]) for entry in training] == [(1, 1.0), (2, 5.0), (3, 1.0)]
    assert [entry["eval"]["AP"] for entry in evaluations] == [0.2]


BAD_LOGS = [
    ("a broken line before the last", train_line(1) + '{"step": 2,\n' + train_line(3), "line 2 is no JSON object"),
    ("a broken last line that is complete", train_line(1) + "oops\n", "line 2 is no JSON object"),
    ("a list", "[1, 2]\n", "line 1: expected an object .*, got list"),
    ("a line without loss", '{"step": 1, "lr": 0.1}\n', r"line 1: expected .*, got only \['lr', 'step'\]"),
    ("an empty log", "", "holds no training line"),
]


@pytest.mark.parametrize(("sentence", "text", "message"), BAD_LOGS, ids=[row[0] for row in BAD_LOGS])
def test_bad_logs_are_named_and_leave_no_picture(sentence, text, message, log, tmp_path):
    log.write_text(text)
    with pytest.raises(ValueError, match=message):
        save_curves(log, tmp_path / "curves.png")
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_smoothing_starts_unbiased_and_bridges_missing_values():
    np.testing.assert_allclose(smooth(np.full(50, 3.0)), 3.0)
    noisy = np.random.default_rng(0).normal(size=400)
    assert smooth(noisy).std() < 0.4 * noisy.std()
    assert np.isfinite(smooth([1.0, np.nan, 2.0])).all()


def spotted_photo(*spots):
    """A black photo of 400 x 300 pixels with a red spot around each point."""
    pixels = np.zeros((300, 400, 3), dtype=np.uint8)
    for x, y in spots:
        pixels[y - 3 : y + 4, x - 3 : x + 4] = (255, 0, 0)
    return Image.fromarray(pixels)


def labeled_at(*spots):
    """One annotated person whose first keypoints lie at the points; the others are not labeled."""
    target = np.zeros((1, 17, 3))
    target[0, : len(spots)] = [(x, y, 2) for x, y in spots]
    return People.annotated(target, COCO)


def person_at(*spots, box=None):
    """One person whose first keypoints lie at the points; the others are not found."""
    person = labeled_at(*spots)
    boxes = person.boxes_xywh if box is None else torch.tensor([box], dtype=torch.float64)
    return replace(person, scores=0.9 * person.scores, boxes_xywh=boxes)


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the drawing of tiles and to the sheet, which are tested where they are."""
    record = {"tiles": []}

    def draw(picture, people, *, min_score):
        record["tiles"].append((picture, people, min_score))
        return picture

    def arrange(tiles, **layout):
        record["sheet"] = (tiles, layout)
        return tiles[0]

    monkeypatch.setattr(sheets, "draw_poses", draw)
    monkeypatch.setattr(sheets, "contact_sheet", arrange)
    return record


def test_keypoints_are_drawn_on_the_pixels_where_they_lie_in_the_photo(drawn):
    spots = [(150, 100), (180, 190)]
    predictions_sheet([spotted_photo(*spots)], [person_at(*spots)], tile=(160, 120))
    ((picture, person, min_score),) = drawn["tiles"]
    assert picture.size == (120, 160) and min_score == 0.2
    for x, y in person.keypoints_xy[0, :2].round().int().tolist():
        assert picture.getpixel((int(x), int(y)))[0] > 200


def test_annotated_people_stand_left_of_the_predicted_ones_in_the_same_window(drawn):
    there, found = (150, 100), (158, 104)
    photo = spotted_photo(there, (200, 220))
    predictions_sheet(
        [photo, photo],
        [person_at(found), person_at(found)],
        [labeled_at(there, (200, 220))] * 2,
        captions=["predicted, OKS 0.93", "predicted, OKS 0.95"],
        columns=3,
        tile=(160, 120),
    )
    tiles, layout = drawn["sheet"]
    assert layout == {
        "columns": 6,
        "captions": ["annotated", "predicted, OKS 0.93", "annotated", "predicted, OKS 0.95"],
        "tile": (160, 120),
    }
    assert len(tiles) == 4
    (left, truth, _), (right, person, _) = drawn["tiles"][:2]
    np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
    assert truth.scores[0, :3].tolist() == [1, 1, 0]
    places, annotated = person.keypoints_xy[0].numpy(), truth.keypoints_xy[0].numpy()
    scale = (annotated[1] - annotated[0]) / (50, 120)
    np.testing.assert_allclose(places[0] - annotated[0], scale * (8, 4), rtol=1e-4)


@pytest.mark.parametrize(
    ("sentence", "person", "sides"),
    [
        ("a quarter larger than the box", person_at((200, 150), box=[150, 90, 80, 120]), (112.5, 150)),
        ("a quarter larger than what annotated keypoints span", labeled_at((150, 90), (210, 210)), (112.5, 150)),
        ("the whole photo where nobody is", None, (400, 533)),
    ],
)
def test_the_window_is(sentence, person, sides, drawn):
    photo = spotted_photo((195, 150), (205, 150))  # spots 10 pixels apart show the scale
    predictions_sheet([photo], [People.nobody(COCO) if person is None else person], tile=(160, 120))
    ((picture, *_),) = drawn["tiles"]
    red, green, _ = np.moveaxis(np.asarray(picture, dtype=float), -1, 0)
    red = (red - green).sum(axis=0)  # there is none on the margin of the sheet
    columns = np.arange(120)
    spread = np.sqrt((red * columns**2).sum() / red.sum() - ((red * columns).sum() / red.sum()) ** 2)
    expected = np.hypot(5, 2) * 120 / sides[0]  # spread of two spots 7 pixels wide at the tile's scale
    assert spread == pytest.approx(expected, rel=0.1)


def test_people_at_the_edge_are_shown_with_the_window_moved_into_the_photo(drawn):
    photo = spotted_photo((5, 150))
    predictions_sheet([photo], [person_at((5, 150), box=[-50, 100, 90, 100])], tile=(80, 60))
    ((picture, person, _),) = drawn["tiles"]
    x, y = person.keypoints_xy[0, 0].round().int().tolist()
    assert picture.getpixel((x, y))[0] > 200
    assert np.asarray(picture)[..., 1].max() == 0  # nothing but the photo, which has no green


def test_people_before_stand_between_the_annotated_and_the_predicted_ones(drawn):
    photo, spots = spotted_photo((150, 100)), [(150, 100), (140, 90), (145, 95)]
    target, before, after = labeled_at(spots[0], (200, 220)), *(person_at(spot) for spot in spots[1:])
    predictions_sheet(
        [photo], [after], [target], before=[before], captions=["after"], before_captions=["before, OKS 0.10"]
    )
    _, layout = drawn["sheet"]
    assert (layout["columns"], layout["captions"]) == (12, ["annotated", "before, OKS 0.10", "after"])
    people = [person.keypoints_xy[0, 0].tolist() for _, person, _ in drawn["tiles"]]
    assert people[1] < people[2] < people[0]  # each in the same window, by where its first keypoint lies


def test_a_sheet_has_a_tile_for_each_picture():
    photo = Image.fromarray(data.astronaut())
    person = person_at((200, 100), (220, 300))
    alone = predictions_sheet([photo] * 3, [person] * 3, columns=3, tile=(80, 60))
    targets = [labeled_at((200, 100), (220, 300))] * 3
    both = predictions_sheet([photo] * 3, [person] * 3, targets, columns=3, tile=(80, 60))
    assert both.height == alone.height and both.width == 2 * alone.width - 8


def test_counts_that_differ_are_named():
    photo = Image.fromarray(data.astronaut())
    with pytest.raises(ValueError, match="one entry of captions an image, got 2 for 1"):
        predictions_sheet([photo], [People.nobody(COCO)], captions=["a", "b"])
