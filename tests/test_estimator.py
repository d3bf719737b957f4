"""`vitpose.load`: an object that takes photos and whatever the command takes, and gives people."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

import vitpose
from vitpose import estimator as module
from vitpose.estimator import Origin


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    generated = vitpose.SyntheticPeople(num_people=3, seed=7)
    return [generated[number]["image"] for number in range(3)]


@pytest.fixture(scope="module")
def tiny() -> vitpose.PoseEstimator:
    return vitpose.load("tiny", detector=None)


def _same(one: vitpose.People, other: vitpose.People) -> bool:
    return torch.allclose(one.keypoints_xy, other.keypoints_xy, atol=1e-3)


def test_a_photo_gives_people_and_a_list_a_list(tiny, photos, tmp_path) -> None:
    people = tiny(photos[0])
    assert isinstance(people, vitpose.People) and len(people) == 1
    photos[0].save(tmp_path / "photo.png")
    for same in (np.asarray(photos[0]), tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert _same(tiny(same), people)
    found = tiny(photos)
    assert len(found) == 3 and _same(found[0], people)


def test_people_that_are_known(tiny, photos) -> None:
    boxes = [[10, 10, 60, 120], [0, 0, *photos[0].size]]
    people = tiny(photos[0], boxes=boxes)
    assert people.boxes_xywh.tolist() == boxes
    assert _same(people[1:], tiny(photos[0]))
    with pytest.raises(ValueError, match=r"inputs\[1\]"):
        tiny(photos[:2], boxes=[[boxes[0]], [[900, 900, 5, 5]]])


def test_a_detector_by_name_finds_the_people(published, photos) -> None:
    found = vitpose.load("small", detector="light")(photos)
    assert [len(people) for people in found] == [2, 2, 2]
    assert found[0].box_scores.tolist() == pytest.approx([0.9, 0.9], abs=0.01)
    assert vitpose.load("small", detector="light", detector_threshold=0.95)(photos[0]).labels == ()
    assert found[0].schema.name == "coco"  # the one head of six experts


def test_settings_reach_the_pipeline() -> None:
    estimator = vitpose.load("tiny", detector=None, batch_size=3, flip_test=True, dataset="coco", dtype="bfloat16")
    options = estimator.pipe.options()
    assert (options.batch_size, options.flip_test, options.dataset) == (3, True, "coco")
    assert estimator.pipe.dtype == torch.bfloat16
    assert vitpose.load("tiny", detector=None, dtype=torch.float16).pipe.dtype == torch.float16


def test_where_and_how_precisely_is_chosen_by_what_is_there(monkeypatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert module.pick_device() == torch.device("cpu")
    assert module.pick_dtype(torch.device("cpu")) == torch.float32
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("xpu"))
    assert module.pick_device() == torch.device("xpu")
    assert module.pick_dtype(torch.device("xpu", 1)) == torch.float16


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"device": "gpu"}, "device: expected one of this machine, such as 'cpu', got 'gpu': "),
        ({"device": "cuda:99"}, "device: expected one of this machine, such as 'cpu', got 'cuda:99': "),
        ({"dtype": "half-ish"}, "dtype: expected a type of torch such as 'float16' or 'float32', got 'half-ish'"),
        ({"dataset": "mpii"}, "dataset"),
        ({"detector": "acurate"}, "Did you mean 'accurate'"),
    ],
)
def test_settings_that_cannot_be(setting, message, photos) -> None:
    with pytest.raises(ValueError, match=message):
        vitpose.load("tiny", **{"detector": None, **setting})(photos[0])


def test_an_exported_model_runs_as_it_was_exported(tmp_path, photos) -> None:
    pytest.importorskip("onnxscript", reason='exporting needs packages of its own: pip install "vitpose[onnx]"')
    vitpose.export_model("tiny", tmp_path / "onnx", to="onnx")
    exported = vitpose.load(tmp_path / "onnx", detector=None)
    assert _same(exported(photos[0]), vitpose.load("tiny", detector=None)(photos[0]))


# ------------------------------------------------------------------------------------------------------------ stream


def test_a_stream_is_over_all_that_the_command_takes(tiny, photos, tmp_path) -> None:
    for number, photo in enumerate(photos):
        folder = tmp_path / ("more" if number == 2 else "")
        folder.mkdir(exist_ok=True)
        photo.save(folder / f"{number}.png")
    found = list(tiny.stream(tmp_path))
    assert [origin for origin, _ in found] == [Origin(place=tmp_path / "0.png"), Origin(place=tmp_path / "1.png")]
    assert all(_same(people, tiny(photo)) for (_, people), photo in zip(found, photos, strict=False))
    places = [origin.place for origin, _ in tiny.stream([tmp_path / "0.png", f"{tmp_path}/m*"], recursive=True)]
    assert places == [tmp_path / "0.png", tmp_path / "more" / "2.png"]


def test_a_damaged_photo_costs_itself_and_a_line(tiny, photos, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("vitpose"), "propagate", True)
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no photo")
    assert [origin.place.name for origin, _ in tiny.stream(tmp_path)] == ["0.png", "2.png"]
    assert caplog.messages == [f"Left out {tmp_path / '1.png'}: not an image that can be read here."]


def test_what_is_not_there_is_told_at_once(tiny, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file or folder"):
        tiny.stream(tmp_path / "nothing")  # before the first step of the iterator
    with pytest.raises(ValueError, match="There are no photos or videos in"):
        tiny.stream(tmp_path)


def test_photos_are_read_as_the_stream_goes_on(photos, tmp_path, monkeypatch) -> None:
    read_ahead, opened = vitpose.photos.crops.read_ahead, []

    def counted(sources, *, do_rescale):
        for read in read_ahead(sources, do_rescale=do_rescale):
            opened.append(read.source)
            yield read

    monkeypatch.setattr(vitpose.photos.crops, "read_ahead", counted)
    for number in range(40):
        photos[0].save(tmp_path / f"{number}.png")
    estimator = vitpose.load("tiny", detector=None, batch_size=4)
    next(iter(estimator.stream(tmp_path)))
    assert len(opened) <= 8


def _counted(sources, do_rescale, opened):
    from vitpose.photos.reading import read_ahead

    for read in read_ahead(sources, do_rescale=do_rescale):
        opened.append(read)
        yield read


def test_a_video_gives_its_frames_with_people_who_keep_their_number(tiny, photos, tmp_path) -> None:
    av = pytest.importorskip("av", reason='videos need PyAV: pip install "vitpose[video]"')
    path = tmp_path / "clip.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = photos[0].size[0] // 2 * 2, photos[0].size[1] // 2 * 2
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_image(photos[0].resize((stream.width, stream.height)))))
        container.mux(stream.encode())
    photos[0].save(tmp_path / "photo.png")
    found = list(tiny.stream(tmp_path))
    assert found[0][0] == Origin(place=tmp_path / "photo.png")
    assert [(origin.place, origin.frame) for origin, _ in found[1:]] == [(path, number) for number in range(5)]
    assert [origin.time for origin, _ in found[1:]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert {tuple(people.track_ids.tolist()) for _, people in found[1:]} == {(1,)}


def test_a_folder_is_no_photo(tiny, tmp_path) -> None:
    with pytest.raises(ValueError, match="expected a photo, got the folder .* Go through it with stream"):
        tiny(tmp_path)
