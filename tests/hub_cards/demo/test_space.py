"""What the demo does behind its interface, without a browser; with Gradio, also that the interface can be built."""

import csv
import json
import pickle
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from space_help import save_two_heads, write_clip

from vitpose import TINY_CHECKPOINT, SyntheticPeople
from vitpose.hub_cards.demo import model as demo_module
from vitpose.hub_cards.demo import photos
from vitpose.hub_cards.demo.answers import Found, Look, draw_preview, summarize
from vitpose.hub_cards.demo.boxes import format_boxes, parse_boxes
from vitpose.hub_cards.demo.examples import Example
from vitpose.hub_cards.demo.messages import say_mistake, without_folders
from vitpose.hub_cards.demo.model import Choice, Demo
from vitpose.hub_cards.demo.photos import open_photo, read_photo
from vitpose.hub_cards.demo.videos import DrawnVideo, steps
from vitpose.hub_cards.demo.zero_gpu import on_gpu
from vitpose_cli.main import main


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory) -> str:
    return save_two_heads(tmp_path_factory.mktemp("models") / "two")


@pytest.fixture(scope="module")
def demo(two_heads, stock_detector) -> Demo:
    return Demo(["tiny", two_heads], detector=str(stock_detector))


def choice(**changes) -> Choice:
    return Choice(**{"model": "tiny", "dataset": "coco", "source": "whole image", **changes})


@pytest.fixture(scope="module")
def example(demo) -> Example:
    """Two people side by side."""
    return demo.examples[0]


# -------------------------------------------------------------------------------------------------------------- photos


def test_people_in_boxes_are_found_and_written_in_full(demo, example):
    found = demo.find(example.path, choice(source="boxes", boxes=example.boxes))
    json_file, csv_file = demo.write_files(found)
    content, rows = json.loads(json_file.read_text()), list(csv.DictReader(csv_file.open()))
    points = [(number, point) for number, person in enumerate(content["people"]) for point in person["keypoints"]]
    assert len(points) == 2 * 17, "all keypoints, whatever is drawn"
    assert (content["model"], content["dataset"]) == ("tiny", "coco")
    size = dict(zip(("width", "height"), Image.open(example.path).size, strict=True))
    assert content["image"] == {"file_name": example.path.name, **size}
    assert [(row["person"], row["keypoint"], float(row["x"])) for row in rows] == [
        (str(number), point["label"], point["x"]) for number, point in points
    ]


def test_files_have_the_keypoints_that_are_too_weak_to_be_drawn(demo, tmp_path):
    """Of a picture of nobody, where all are."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.png")
    found = demo.find(tmp_path / "noise.png", choice(source="whole image"))
    json_file, csv_file = demo.write_files(found)
    (person,) = json.loads(json_file.read_text())["people"]
    scores = [point["score"] for point in person["keypoints"]]
    assert len(scores) == len(list(csv.DictReader(csv_file.open()))) == 17 and min(scores) < 0.2


def test_the_tiny_model_finds_the_people_of_the_examples(demo):
    """They are there to be looked at: most keypoints are sure."""
    for number, shown in enumerate(demo.examples):
        scores = demo.solve(number, model="tiny", dataset="coco").people.scores
        assert (scores > 0.3).float().mean() >= 0.6, shown.path.name


def test_an_example_is_solved_once(demo):
    first = demo.solve(1, model="tiny", dataset="coco")
    assert demo.solve(1, model="tiny", dataset="coco") is first


def test_a_model_that_has_seen_photographs_starts_with_one(two_heads):
    photograph = Demo([two_heads]).examples[0]
    assert photograph.boxes is None and photograph.path.name == "grace_hopper.jpg"


def test_a_higher_threshold_draws_less_without_another_prediction(demo, example):
    found = demo.find(example.path, choice(source="boxes", boxes=example.boxes))
    counts = [int(summarize(found, Look(threshold=least)).split()[2]) for least in (0, 0.5, 0.6)]
    assert counts == sorted(counts, reverse=True) and counts[0] == 34
    assert summarize(found, Look(threshold=0)).startswith("2 people, 34 of 34 keypoints score 0.00 or more.")
    assert summarize(found, Look(threshold=1)).startswith("No keypoint scores 1.00 or more, the best 0.")


def test_each_look_draws_another_picture(demo, example):
    found = demo.find(example.path, choice(source="boxes", boxes=example.boxes))
    looks = [Look(), Look(boxes=True), Look(ids=True), Look(scores=True), Look(color_by="person")]
    assert len({draw_preview(found, look).tobytes() for look in looks}) == len(looks)


def test_a_large_photo_is_shown_small_and_written_in_full(demo, tmp_path):
    person = SyntheticPeople(num_people=1, seed=2)[0]["image"].resize((2000, 2900))
    exif = person.getexif()
    exif[0x0112] = 6  # lies on its side in the file
    person.rotate(90, expand=True).save(tmp_path / "large.jpg", exif=exif)
    found = demo.find(tmp_path / "large.jpg", choice())
    assert found.photo.size == (2000, 2900)
    preview = draw_preview(found, Look(boxes=True))
    assert preview.size == (883, 1280) == found.photo.preview.size
    with Image.open(demo.write_picture(found, Look())) as full:
        assert full.size == (2000, 2900) and full.format == "PNG"


def test_the_preview_shows_keypoints_where_they_are(demo, tmp_path):
    """At a quarter of the size they are drawn at a quarter of their place."""
    Image.new("RGB", (1280 * 4, 640 * 4)).save(tmp_path / "black.png")
    found = demo.find(tmp_path / "black.png", choice())
    people = found.people
    people.keypoints_xy[:] = torch.tensor([4000.0, 2000.0])
    people.scores[:] = 1
    rows, columns = np.asarray(draw_preview(found, Look())).sum(2).nonzero()
    assert abs(rows.mean() - 500) < 3 and abs(columns.mean() - 1000) < 3


def test_a_model_of_several_datasets_answers_for_the_chosen_one(demo, two_heads, example):
    name = demo.models[1]
    assert demo.datasets(name) == ["coco", "mpii"]
    counts = {
        dataset: demo.find(example.path, choice(model=name, dataset=dataset)).people.schema.num_keypoints
        for dataset in ("coco", "mpii")
    }
    assert counts == {"coco": 17, "mpii": 16}


def test_a_detector_finds_the_people_or_none(demo, example):
    assert demo.sources == ["detector", "whole image", "boxes"]
    found = demo.find(example.path, choice(source="detector", detector_threshold=0.5))
    assert len(found.people) > 0
    nobody = demo.find(example.path, choice(source="detector", detector_threshold=1.0))
    assert summarize(nobody, Look()).startswith("No people found. Lower the detector's threshold")
    assert json.loads(demo.write_files(nobody)[0].read_text())["people"] == []


def test_names_of_the_server_s_folders_are_not_told(demo, two_heads):
    assert demo.models == ["tiny", "/".join(Path(two_heads).parts[-2:])]


def test_a_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held upright
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").size == (20, 40) == open_photo(tmp_path / "a.jpg").size


def test_a_photo_of_16_bits_is_not_clipped(tmp_path):
    Image.new("I;16", (4, 3), 90 * 257).save(tmp_path / "deep.png")
    assert read_photo(tmp_path / "deep.png").getpixel((1, 1)) == (90, 90, 90)
    assert open_photo(tmp_path / "deep.png").preview.getpixel((1, 1)) == (90, 90, 90)


def test_files_of_old_answers_go(two_heads, monkeypatch):
    monkeypatch.setattr(demo_module, "KEPT_ANSWERS", 2)
    small = Demo([two_heads])
    found = small.find(small.examples[0].path, choice(model=small.models[0]))
    files = [small.write_files(found)[0] for _ in range(3)]
    assert [file.exists() for file in files] == [False, True, True]


# ------------------------------------------------------------------------------------------------ what a model knows


def test_the_page_says_what_the_tiny_model_knows(demo):
    known = demo.describe("tiny", "coco")
    assert "<strong>17 keypoints of a person</strong>" in known
    assert "Trained on generated people only" in known
    assert "AP (OKS 0.50:0.95) 0.752 on 200 generated people, style street, by its card." in known
    assert "nose, left eye" in known


def test_a_model_without_a_card_claims_nothing(demo):
    assert "Its card does not say what it was trained on." in demo.describe(demo.models[1], "mpii")


def test_a_card_is_believed_and_cannot_write_into_the_page(two_heads, tmp_path):
    folder = tmp_path / "carded"
    shutil.copytree(two_heads, folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nTrained on <script>alert(1)</script> people.\n")
    known = Demo([str(folder)]).describe(f"{tmp_path.name}/carded", "coco")
    assert "Trained on &lt;script&gt;" in known and "<script>" not in known


def test_a_card_that_cannot_be_read_is_passed_over(two_heads, tmp_path):
    folder = tmp_path / "carded"
    shutil.copytree(two_heads, folder)
    (folder / "README.md").write_text("---\nlicense: [mit\n- a: {\n---\n")
    assert "Its card does not say" in Demo([str(folder)]).describe(f"{tmp_path.name}/carded", "coco")


def test_published_models_are_fetched_by_name_and_tell_what_they_know(hub, stock_pose, stock_detector):
    hub.publish_all(stock_pose, stock_detector)
    shown = Demo(["base"], detector="light")
    assert shown.sources[0] == "detector"
    known = shown.describe("base", "coco")
    assert "AP-10K" in known and "AP 77.0 on COCO val2017" in known
    assert len(shown.solve(0, model="base", dataset="coco").people) == 2, "whom the detector finds in the photograph"


# ----------------------------------------------------------------------------------------------------------- bad input


def test_files_that_are_no_photo_are_told_by_name(tmp_path, monkeypatch):
    (tmp_path / "notes.jpg").write_text("no photo")
    SyntheticPeople(num_people=1, seed=0)[0]["image"].save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    for read in (read_photo, open_photo):
        for name in ("notes.jpg", "cut.png"):
            with pytest.raises(ValueError, match=f"^{name} cannot be read as a photo: upload a JPEG, PNG or WebP file"):
                read(tmp_path / name)
        with pytest.raises(ValueError, match=r"^absent.jpg is no longer here: upload it again."):
            read(tmp_path / "absent.jpg")
        with pytest.raises(ValueError, match="There is no photo yet: upload one"):
            read(None)
    monkeypatch.setattr(photos, "MAX_PIXELS", 100)
    Image.new("RGB", (11, 10)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"large.png has 11 x 10 pixels, the demo takes 100: make it smaller."):
        open_photo(tmp_path / "large.png")


def test_boxes_are_read_as_people_write_them():
    text = "1, 2, 30, 40\n\n  5.25 6 70 80  \n[7, 8, 9.5, 10]\n"
    boxes = parse_boxes(text, (100, 100))
    assert boxes == [(1, 2, 30, 40), (5.25, 6, 70, 80), (7, 8, 9.5, 10)]
    assert parse_boxes(format_boxes(boxes), (100, 100)) == boxes
    assert parse_boxes(" \n", (100, 100)) == []


BOXES = [
    ("a word", "a, 1, 2, 3", "Line 1: expected four numbers x, y, width, height, got 'a, 1, 2, 3'"),
    ("three numbers", "1 2 3 4\n1, 2, 4", "Line 2: expected four numbers"),
    ("five numbers", "1 2 3 4 5", "Line 1: expected four numbers"),
    ("no width", "1 2 0 4", "Box 1: expected x, y and a width and height above 0, in pixels, got 1, 2, 0, 4"),
    ("not a number", "nan 2 3 4", "Box 1: expected x, y and a width and height above 0"),
    ("outside", "1 2 3 4\n5000 5000 10 10", "Box 2 lies outside the photo of 100 x 100 pixels"),
    ("a crowd", "1 2 3 4\n" * 101, "Expected at most 100 boxes, got 101"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BOXES], ids=[row[0] for row in BOXES])
def test_boxes_that_are_none_are_told(text, message):
    with pytest.raises(ValueError, match=message):
        parse_boxes(text, (100, 100))


CHOICES = [
    ({"model": "huge"}, "model: expected one of tiny, .*two, got 'huge'"),
    ({"dataset": "mpii"}, "tiny finds the keypoints of coco, choose one; got 'mpii'"),
    ({"source": "stars"}, "People may come from detector, whole image, boxes here, got 'stars'"),
    ({"source": "boxes"}, "There is no box yet: drag one around each person"),
    ({"source": "boxes", "boxes": ((5000, 5000, 10, 10),)}, "Box 1 lies outside the photo of 280 x 235 pixels"),
]


@pytest.mark.parametrize(("changes", "message"), CHOICES)
def test_choices_that_do_not_exist_are_told(demo, example, changes, message):
    with pytest.raises(ValueError, match=message):
        demo.find(example.path, choice(**changes))


def test_a_demo_without_a_detector_does_not_offer_one(two_heads):
    small = Demo([two_heads])
    assert small.sources == ["whole image", "boxes"]
    with pytest.raises(ValueError, match="People may come from whole image, boxes here, got 'detector'"):
        small.find(small.examples[0].path, choice(model=small.models[0], source="detector"))
    with pytest.raises(ValueError, match="expected at least one folder or Hub id"):
        Demo([])


FOLDERS = [
    ("/tmp/gradio/ab12/notes.mp4 cannot be read.", "notes.mp4 cannot be read."),
    ("'file:/tmp/gradio/ab12/notes.mp4'", "'file:notes.mp4'"),
    (r"C:\Users\me\photo.jpg is none", "photo.jpg is none"),
    ("See https://huggingface.co/docs/hub, 3/4 or and/or.", "See https://huggingface.co/docs/hub, 3/4 or and/or."),
]


@pytest.mark.parametrize(("text", "shown"), FOLDERS)
def test_mistakes_name_files_without_the_server_s_folders(text, shown):
    assert without_folders(text) == shown


def test_a_mistake_cannot_write_into_the_page():
    assert "<b>" not in say_mistake(ValueError("<b>.jpg cannot be read"))


# -------------------------------------------------------------------------------------------------------------- videos


@pytest.mark.parametrize("source", ["whole image", "detector"])
def test_a_video_is_drawn_and_written_for_the_chosen_dataset(demo, tmp_path, source):
    clip = write_clip(tmp_path / "clip.mp4", num_frames=4)
    chosen = choice(model=demo.models[1], dataset="mpii", source=source)
    *progress, drawn = demo.video(clip, chosen, detect_every=2, smooth=True)
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert isinstance(drawn, DrawnVideo) and drawn.num_frames == 4 and drawn.video.stat().st_size > 0
    frames = [json.loads(line) for line in drawn.lines.read_text().splitlines()]
    assert len(frames) == 4
    assert {len(person["keypoints"]) for frame in frames for person in frame["people"]} <= {16 * 3}
    assert source == "detector" or all(len(frame["people"]) == 1 for frame in frames)


def test_a_threshold_leaves_keypoints_out_of_a_drawn_video(demo, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", num_frames=2)
    *_, everything = demo.video(clip, choice(), threshold=0.0)
    size = everything.video.stat().st_size
    *_, nothing = demo.video(clip, choice(), threshold=1.0)
    assert nothing.video.stat().st_size < size
    assert nothing.lines.read_text() == everything.lines.read_text(), "data files hold everything"


def test_a_video_that_is_stopped_leaves_what_was_done(demo, tmp_path):
    clip, stop = write_clip(tmp_path / "clip.mp4", num_frames=60), threading.Event()
    told = []
    for step in demo.video(clip, choice(), stop=stop):
        told.append(step)
        stop.set()
    drawn = told[-1]
    assert len(told) == 2 and 0 < drawn.num_frames < 60
    assert len(drawn.lines.read_text().splitlines()) == drawn.num_frames


def test_the_example_of_the_videos_is_a_video(demo):
    pytest.importorskip("av", reason="videos come with the video extra")
    *_, drawn = demo.video(demo.example_clip(), choice())
    assert drawn.num_frames == 30


def test_a_video_that_is_none_is_told(demo, tmp_path):
    with pytest.raises(ValueError, match="There is no video yet: upload one"):
        next(demo.video(None, choice()))
    with pytest.raises(ValueError, match="come from a detector or the whole image, got 'boxes'"):
        next(demo.video(tmp_path / "a.mp4", choice(source="boxes")))
    pytest.importorskip("av", reason="videos come with the video extra")
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(ValueError, match="notes.mp4"):
        next(demo.video(tmp_path / "notes.mp4", choice()))


def test_work_that_is_closed_ends_and_work_that_fails_is_heard():
    ended = threading.Event()

    def endless(progress):
        done = 0
        while progress(done := done + 1, None):
            pass
        ended.set()

    counting = steps(endless)
    assert next(counting) == (1, None)
    counting.close()
    assert ended.is_set()

    def broken(progress):
        progress(1, 2)
        raise ValueError("no more")

    failing = steps(broken)
    assert next(failing) == (1, 2)
    with pytest.raises(ValueError, match="no more"):
        next(failing)


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
                result = task(*pickle.loads(pickle.dumps(args)))
            except Exception as error:
                raise RuntimeError("ZeroGPU worker error") from error
            return in_steps(result) if isinstance(result, Iterator) else pickle.loads(pickle.dumps(result))

        def in_steps(results):
            try:
                yield from (pickle.loads(pickle.dumps(result)) for result in results)
            except Exception as error:
                raise RuntimeError("ZeroGPU worker error") from error

        return call

    return SimpleNamespace(GPU=GPU)


def test_a_demo_on_zerogpu_borrows_it_for_photos_and_videos_and_tells_what_is_wrong(two_heads, tmp_path, monkeypatch):
    lent: list[int] = []
    monkeypatch.setitem(sys.modules, "spaces", stand_in_for_zerogpu(lent))
    demo = Demo([two_heads])
    chosen = choice(model=demo.models[0], dataset="mpii")
    found = demo.find(demo.examples[-1].path, chosen)
    assert isinstance(found, Found) and found.people.schema.num_keypoints == 16 and lent == [60]
    pytest.importorskip("av", reason="videos come with the video extra")
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(ValueError, match="notes.mp4"):
        next(demo.video(tmp_path / "notes.mp4", chosen))
    *_, drawn = demo.video(write_clip(tmp_path / "clip.mp4", num_frames=2), chosen)
    assert drawn.num_frames == 2 and lent == [60, 120, 120]


# ----------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("words", "models", "detector"),
    [
        ([], ["base"], "light"),
        (["tiny"], ["tiny"], None),
        (["tiny", "--detector", "accurate"], ["tiny"], "accurate"),
        (["base", "runs/mine", "--no-detector"], ["base", "runs/mine"], None),
    ],
)
def test_the_command_shows_published_models_unless_told_otherwise(monkeypatch, words, models, detector):
    asked = []
    page = SimpleNamespace(launch=lambda demo, port: asked.append(port))
    monkeypatch.setitem(sys.modules, "vitpose.hub_cards.demo.interface", page)
    monkeypatch.setattr(demo_module, "Demo", lambda models, detector: asked.append((models, detector)))
    assert main(["demo", *words]) == 0
    assert asked == [(models, detector), 7860]


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    """And everything else of the demo imports without it."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("model", "interface", "gradio_import", "photo_tab", "video_tab", "widgets", "box_editor"):
        monkeypatch.delitem(sys.modules, f"vitpose.hub_cards.demo.{name}", raising=False)
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
