"""What the demo does behind its interface, without a browser; with Gradio, also that the interface can be built."""

import csv
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from space_help import save_two_heads, write_clip
from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

from vitpose import TINY_CHECKPOINT, SyntheticPeople
from vitpose.hub_cards.demo import model as demo_module
from vitpose.hub_cards.demo.model import Demo, box_of_corners, check_boxes, read_photo
from vitpose.hub_cards.demo.zero_gpu import on_gpu
from vitpose_cli.main import main


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory) -> str:
    return save_two_heads(tmp_path_factory.mktemp("models") / "two")


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> str:
    """Folder of a detector with random weights."""
    folder = tmp_path_factory.mktemp("models") / "detector"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = YolosConfig(**sizes, image_size=[64, 64], num_detection_tokens=3, id2label={0: "person"})
    YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 64}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def demo(two_heads, detector) -> Demo:
    return Demo(["tiny", two_heads], detector=detector)


def find(demo, photo, **changes):
    settings = {"model": "tiny", "dataset": "coco", "source": "whole image"} | changes
    return demo.find(photo, **settings)


@pytest.fixture(scope="module")
def example(demo) -> tuple[Path, list]:
    return demo.examples[-1]


# -------------------------------------------------------------------------------------------------------------- photos


def test_people_in_boxes_are_found_drawn_and_written(demo, example):
    photo, boxes = example
    found = find(demo, photo, source="boxes", boxes=[*boxes, ["", None, "", ""]])
    answer = demo.answer(found, threshold=0.3)
    content = json.loads(answer.json_file.read_text())
    rows = list(csv.DictReader(answer.csv_file.open()))
    points = [(number, point) for number, person in enumerate(content["people"]) for point in person["keypoints"]]
    assert len(content["people"]) == 2
    assert (content["model"], content["dataset"], content["threshold"]) == ("tiny", "coco", 0.3)
    assert content["image"] == dict(zip(("width", "height"), Image.open(photo).size, strict=True))
    assert min(point["score"] for _, point in points) > 0.3
    assert [(row["person"], row["keypoint"], float(row["x"])) for row in rows] == [
        (str(number), point["label"], point["x"]) for number, point in points
    ]
    assert answer.picture.size == found.image.size
    assert answer.summary == f"**2 people**, {len(points)} of 34 keypoints score above 0.30."


def test_the_tiny_model_finds_the_people_of_the_examples(demo):
    """They are there to be looked at: most keypoints are sure."""
    for photo, boxes in demo.examples:
        found = find(demo, photo, source="boxes", boxes=boxes)
        scores = found.people.scores.flatten().tolist()
        assert sum(score > 0.3 for score in scores) >= 0.6 * len(scores), photo.name


def test_a_higher_threshold_needs_no_other_prediction(demo, example):
    found = find(demo, example[0], source="boxes", boxes=example[1])
    counts = [
        len(demo.answer(found, threshold=threshold).csv_file.read_text().splitlines()) for threshold in (0, 0.5, 0.9)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] == 35
    answer = demo.answer(found, threshold=1.0)
    assert answer.summary.startswith("**No keypoint scores above 1.00**, the best 0.")


def test_a_model_of_several_datasets_answers_for_the_chosen_one(demo, two_heads, example):
    assert demo.datasets(two_heads) == ["coco", "mpii"]
    names = {
        dataset: find(demo, example[0], model=two_heads, dataset=dataset).people.schema.keypoints
        for dataset in ("coco", "mpii")
    }
    assert (len(names["coco"]), len(names["mpii"])) == (17, 16)
    assert demo.answer(find(demo, example[0], model=two_heads, dataset="mpii"), threshold=0.0).picture is not None


def test_a_detector_finds_the_people_or_none(demo, example):
    assert demo.sources == ["detector", "whole image", "boxes"]
    found = find(demo, example[0], source="detector", detector_threshold=0.0)
    assert len(found.people) > 0
    nobody = find(demo, example[0], source="detector", detector_threshold=1.0)
    answer = demo.answer(nobody, threshold=0.3)
    assert answer.summary.startswith("**No people found.** Lower the detector's threshold")
    assert json.loads(answer.json_file.read_text())["people"] == []


def test_a_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held upright
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").size == (20, 40)


def test_a_photo_of_16_bits_is_not_clipped(tmp_path):
    Image.new("I;16", (4, 3), 90 * 257).save(tmp_path / "deep.png")
    assert read_photo(tmp_path / "deep.png").getpixel((1, 1)) == (90, 90, 90)


def test_two_opposite_corners_make_a_box():
    assert box_of_corners([30, 10], [20, 50]) == [20, 10, 10, 40]


def test_files_of_old_answers_go(two_heads, monkeypatch):
    monkeypatch.setattr(demo_module, "KEPT_ANSWERS", 2)
    small = Demo([two_heads])
    found = find(small, small.examples[0][0], model=two_heads)
    files = [small.answer(found, threshold=0.0).json_file for _ in range(3)]
    assert [file.exists() for file in files] == [False, True, True]


# ----------------------------------------------------------------------------------------------------------- bad input


def test_files_that_are_no_photo_are_told_by_name(tmp_path, monkeypatch):
    (tmp_path / "notes.jpg").write_text("no photo")
    SyntheticPeople(num_people=1, seed=0)[0]["image"].save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    for name in ("notes.jpg", "cut.png", "absent.jpg"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a photo: upload a JPEG, PNG or WebP file."):
            read_photo(tmp_path / name)
    with pytest.raises(ValueError, match="There is no photo yet: upload one"):
        read_photo(None)
    monkeypatch.setattr(demo_module, "MAX_PIXELS", 100)
    Image.new("RGB", (11, 10)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"large.png has 11 x 10 pixels, the demo takes 100: make it smaller."):
        read_photo(tmp_path / "large.png")


BOXES = [
    ("an empty table", [["", None, "", ""]], "There is no box yet: click two opposite corners"),
    ("a word", [["a", 1, 2, 3]], "Box 1: expected four numbers"),
    ("a half-filled row", [[1, 2, 3, 4], [1, 2, None, 4]], "Box 2: expected four numbers"),
    ("no width", [[1, 2, 0, 4]], "Box 1: expected x, y and a width and height above 0"),
    ("not a number", [["nan", 2, 3, 4]], "Box 1: expected x, y and a width and height above 0"),
    ("a crowd", [[1, 2, 3, 4]] * 101, "Expected at most 100 boxes, got 101"),
]


@pytest.mark.parametrize(("rows", "message"), [row[1:] for row in BOXES], ids=[row[0] for row in BOXES])
def test_boxes_that_are_none_are_told(rows, message):
    with pytest.raises(ValueError, match=message):
        check_boxes(rows, (100, 100))


CHOICES = [
    ({"model": "huge"}, "model: expected one of tiny, .*two, got 'huge'"),
    ({"dataset": "mpii"}, "tiny finds the keypoints of coco, choose one; got 'mpii'"),
    ({"source": "stars"}, "People may come from detector, whole image, boxes here, got 'stars'"),
    ({"source": "boxes", "boxes": [[5000, 5000, 10, 10]]}, "Box 1, .*, lies outside the photo of 280 x 235 pixels"),
]


@pytest.mark.parametrize(("changes", "message"), CHOICES)
def test_choices_that_do_not_exist_are_told(demo, example, changes, message):
    with pytest.raises(ValueError, match=message):
        find(demo, example[0], **changes)


def test_a_demo_without_a_detector_does_not_offer_one(two_heads):
    small = Demo([two_heads])
    assert small.sources == ["whole image", "boxes"]
    with pytest.raises(ValueError, match="People may come from whole image, boxes here, got 'detector'"):
        find(small, small.examples[0][0], model=two_heads, source="detector")
    with pytest.raises(ValueError, match="expected at least one folder or Hub id"):
        Demo([])


# -------------------------------------------------------------------------------------------------------------- videos


@pytest.mark.parametrize("source", ["whole image", "detector"])
def test_a_video_is_drawn_and_written_for_the_chosen_dataset(demo, two_heads, tmp_path, source):
    clip = write_clip(tmp_path / "clip.mp4", num_frames=4)
    settings = {"model": two_heads, "dataset": "mpii", "source": source, "detect_every": 2, "smooth": True}
    drawn, lines = demo.video(clip, **settings)
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(frames) == 4 and drawn.stat().st_size > 0
    assert {len(person["keypoints"]) for frame in frames for person in frame["people"]} <= {16 * 3}
    assert source == "detector" or all(len(frame["people"]) == 1 for frame in frames)


def test_a_video_that_is_none_is_told(demo, tmp_path):
    settings = {"model": "tiny", "dataset": "coco", "detect_every": 1, "smooth": False}
    with pytest.raises(ValueError, match="There is no video yet: upload one"):
        demo.video(None, source="whole image", **settings)
    with pytest.raises(ValueError, match="come from a detector or the whole image, got 'boxes'"):
        demo.video(tmp_path / "a.mp4", source="boxes", **settings)
    pytest.importorskip("av", reason="videos come with the video extra")
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(ValueError, match="notes.mp4"):
        demo.video(tmp_path / "notes.mp4", source="whole image", **settings)


# --------------------------------------------------------------------------------------------------------- its setting


def test_the_gpu_is_borrowed_only_on_zerogpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert on_gpu(len) is len

    lent = []
    monkeypatch.setitem(sys.modules, "spaces", stand_in_for_zerogpu(lent))
    borrowed = on_gpu(len, seconds=9)
    assert borrowed([1, 2]) == 2
    assert lent == [9]


def stand_in_for_zerogpu(lent: list[int]) -> SimpleNamespace:
    """The module `spaces`: it notes the seconds of each call, pickles what goes in and out, and hides errors."""

    def GPU(task=None, *, duration=None):
        def call(*args):
            lent.append(duration)
            try:
                return pickle.loads(pickle.dumps(task(*pickle.loads(pickle.dumps(args)))))
            except Exception as error:
                raise RuntimeError("ZeroGPU worker error") from error

        return call

    return SimpleNamespace(GPU=GPU)


def test_a_demo_on_zerogpu_borrows_it_for_photos_and_videos_and_tells_what_is_wrong(
    two_heads, example, tmp_path, monkeypatch
):
    lent = []
    monkeypatch.setitem(sys.modules, "spaces", stand_in_for_zerogpu(lent))
    demo = Demo([two_heads])
    found = find(demo, example[0], model=two_heads, dataset="mpii")
    assert found.people.schema.num_keypoints == 16 and lent == [60]
    pytest.importorskip("av", reason="videos come with the video extra")
    (tmp_path / "notes.mp4").write_text("no video")
    settings = {"model": two_heads, "dataset": "coco", "detect_every": 1, "smooth": False}
    with pytest.raises(ValueError, match="notes.mp4"):
        demo.video(tmp_path / "notes.mp4", source="whole image", **settings)
    drawn, _ = demo.video(write_clip(tmp_path / "clip.mp4", num_frames=2), source="whole image", **settings)
    assert drawn.stat().st_size > 0 and lent == [60, 120, 120]


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    """And everything else of the demo imports without it."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "vitpose.hub_cards.demo.model")
    monkeypatch.delitem(sys.modules, "vitpose.hub_cards.demo.interface", raising=False)
    assert main(["demo", TINY_CHECKPOINT]) == 2
    assert capsys.readouterr().err == 'error: The demo needs Gradio: pip install "vitpose[demo]".\n'


def test_the_space_has_what_the_hub_asks_for(checkout):
    from huggingface_hub import RepoCard, SpaceHardware

    folder = checkout / "hub_cards" / "demo" / "space"
    card = RepoCard.load(folder / "README.md").data.to_dict()
    assert (card["sdk"], card["app_file"]) == ("gradio", "app.py")
    assert (folder / card["app_file"]).is_file()
    assert card["python_version"] in ("3.10", "3.12"), "those of ZeroGPU"
    assert card["suggested_hardware"] in {str(flavour.value) for flavour in SpaceHardware}
    assert (folder / "requirements.txt").read_text() == "vitpose[demo,video]\n"
