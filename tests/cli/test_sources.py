"""What may be given to `vitpose predict`, and what the files that come of it are called."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from predict_help import RECORD, files_in, predict, read_results

from vitpose.photos.sources import VideoSource, find_sources

WHOLE = ("--model", "tiny", "--whole-image")


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Makes photos of these names in the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 60), (90, 120, 60)).save(path, format="PNG")
        return tmp_path

    return make


NAMES = [
    ("a folder in the order of people", ["a"], ["a/10.jpg", "a/2.jpg", "a/b.PNG"], ["2.jpg", "10.jpg", "b.PNG"]),
    ("a folder without the folders in it", ["a"], ["a/1.jpg", "a/deep/2.jpg"], ["1.jpg"]),
    ("hidden files", ["a"], ["a/1.jpg", "a/.2.jpg", "a/._1.jpg"], ["1.jpg"]),
    ("other files of a folder", ["a"], ["a/1.jpg", "a/notes.txt", "a/table.h5", "a/plan.eps"], ["1.jpg"]),
    ("two folders", ["a", "b"], ["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
    ("files of one folder", ["a/2.jpg", "a/1.jpg"], ["a/1.jpg", "a/2.jpg"], ["2.jpg", "1.jpg"]),
    ("files of two folders", ["a/x/1.jpg", "a/y/1.jpg"], ["a/x/1.jpg", "a/y/1.jpg"], ["x/1.jpg", "y/1.jpg"]),
    ("a folder and a file in it", ["a", "a/1.jpg"], ["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"]),
    ("the same file twice", ["a/1.jpg", "./a/../a/1.jpg"], ["a/1.jpg"], ["1.jpg"]),
    ("a glob", ["a/*.jpg"], ["a/10.jpg", "a/9.jpg", "a/1.png"], ["9.jpg", "10.jpg"]),
    ("a glob of folders", ["*/*.jpg"], ["a/1.jpg", "b/1.jpg", "c.jpg"], ["a/1.jpg", "b/1.jpg"]),
    ("a glob that fits folders", ["day*"], ["day1/a.jpg", "day2/a.jpg"], ["day1/a.jpg", "day2/a.jpg"]),
    ("a glob of any depth", ["a/**/*.jpg"], ["a/1.jpg", "a/b/c/2.jpg"], ["1.jpg", "b/c/2.jpg"]),
    ("a file with the letters of a glob", ["a[1].jpg"], ["a[1].jpg", "a1.jpg"], ["a[1].jpg"]),
    ("a file without an ending", ["a/photo"], ["a/photo"], ["photo"]),
]


@pytest.mark.parametrize(("given", "files", "names"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_photos_have_their_paths_below_the_common_folder(given, files, names, tree):
    tree(*files)
    assert [photo.name for photo in find_sources(given).photos] == names


def test_folders_of_folders_are_looked_into_on_request_and_links_are_followed_once(tree):
    tree("a/1.jpg", "a/b/1.jpg", "a/b/c/1.jpg")
    (Path("a") / "b" / "back").symlink_to(Path("a").absolute())
    names = ["1.jpg", "b/1.jpg", "b/c/1.jpg"]
    assert [photo.name for photo in find_sources("a", recursive=True).photos] == names
    assert len(find_sources("a/**/*.jpg").photos) == 3


STEMS = [
    (["a/1.jpg", "a/2.jpg"], ["1", "2"]),
    (["a/1.jpg", "a/1.png", "a/2.jpg"], ["1.jpg", "1.png", "2"]),
    (["a/A.jpg", "a/a.png"], ["A.jpg", "a.png"]),  # one name on Windows and macOS
    (["a/A.jpg", "a/a.jpg"], ["A.jpg", "a_2.jpg"]),
    (["a/1.jpg", "a/1.jpg.png", "a/1.png"], ["1.jpg", "1_2.jpg", "1.png"]),
]


@pytest.mark.parametrize(("files", "stems"), STEMS)
def test_files_made_of_photos_are_kept_apart(files, stems, tree):
    tree(*files)
    assert sorted(photo.stem for photo in find_sources("a").photos) == sorted(stems)


def test_a_name_of_other_bytes_than_text_can_be_written(tree):
    tree("a/1.jpg")
    os.rename(b"a/1.jpg", b"a/caf\xe9.jpg")
    (photo,) = find_sources("a").photos
    assert photo.name == "caf\ufffd.jpg" and Path(photo.place).is_file()


ADDRESSES = [
    (["https://example.com/a/1.jpg?width=9"], ["1.jpg"]),
    (["https://example.com/a/1.jpg", "https://example.com/b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
    (["https://one.example/1.jpg", "https://two.example/1.jpg"], ["one.example/1.jpg", "two.example/1.jpg"]),
    (["https://example.com/photo?id=1", "https://example.com/photo?id=2"], ["photo", "photo_2"]),
    (["https://me:secret@example.com/"], ["example.com"]),
    (["https://example.com/../../x/a%2Fb%00.jpg"], ["b_.jpg"]),
]


@pytest.mark.parametrize(("addresses", "names"), ADDRESSES)
def test_photos_at_addresses_have_names_that_files_may_have(addresses, names):
    found = find_sources(addresses)
    assert [photo.name for photo in found.photos] == names
    assert [photo.place for photo in found.photos] == addresses


VIDEOS = [
    ("a/clip.mp4", "clip"),
    ("0", "camera0"),
    (3, "camera3"),
    ("rtsp://me:secret@camera.example/live", "live"),
    ("https://example.com/day/live.m3u8?key=1", "live"),
    ("https://example.com/CLIP.MOV", "CLIP"),
]


@pytest.mark.parametrize(("given", "stem"), VIDEOS)
def test_videos_cameras_and_streams_are_told_from_photos(given, stem, tree):
    tree("a/clip.mp4")
    found = find_sources(given)
    place = Path("a/clip.mp4").absolute() if given == "a/clip.mp4" else int(given) if str(given) in "03" else given
    assert found.videos == [VideoSource(place=place, stem=stem)] and not found.photos


def test_a_folder_of_photos_and_videos_gives_both(tree):
    tree("a/1.jpg", "a/clip.mp4", "a/clip.mov")
    found = find_sources(["a", "0"])
    assert [photo.name for photo in found.photos] == ["1.jpg"]
    assert [video.stem for video in found.videos] == ["clip.mov", "clip.mp4", "camera0"]


NOTHING = [
    (["nowhere.jpg"], "There is no file or folder nowhere.jpg"),
    (["*.tiff"], r"Nothing fits \*.tiff"),
    (["a", "nowhere"], "There is no file or folder nowhere"),
    (["s3://bucket/1.jpg"], "expected an address of http, https, .*, got 's3://bucket/1.jpg'"),
    (["empty"], "no photos or videos in empty. Photos are known by endings"),
    (["texts"], r"no photos or videos in texts, but other files: 2 .txt, 1 without an ending"),
    (["deep"], "no photos or videos in deep. --recursive looks into its folders: 2"),
    ([], "no photos or videos in no source at all"),
]


@pytest.mark.parametrize(("given", "message"), NOTHING)
def test_sources_without_photos_are_told(given, message, tree):
    tree("a/1.jpg", "deep/x/1.jpg", "deep/y/1.jpg")
    for name in ("empty/.hidden.jpg", "texts/a.txt", "texts/b.TXT", "texts/README"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("no image")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_sources(given)


def test_what_is_left_out_is_told_with_its_number(tree, caplog):
    tree("a/1.jpg", "old/predictions.jsonl", "old/1_pose.png")
    for name in ("a/x.txt", "a/y.txt", "a/z.heic"):
        Path(name).write_text("no image")
    (Path("b")).mkdir()
    with caplog.at_level("INFO", logger="vitpose"):
        find_sources(["a", "b", "."], recursive=True)
    assert "There are no photos or videos in b." in caplog.text
    assert "Left out: 4 .txt, 2 .heic, 1 folders of predictions." in caplog.text


def test_results_mirror_the_folders_and_are_no_photos_of_the_next_run(tree):
    tree("day/1.jpg", "day/2/1.jpg", "day/2/1.png")
    for _ in range(2):
        saved = ("--save", "pictures,json,openpose")
        assert predict(["day"], *WHOLE, "--recursive", *saved, "--out", "day/found") == 0
        names = ["1.jpg", "2/1.jpg", "2/1.png"]
        assert [result["file_name"] for result in read_results(Path("day/found"))] == names
    pictures = {"1_pose.png", "2/1.jpg_pose.png", "2/1.png_pose.png"}
    bodies = {f"openpose/{name}_keypoints.json" for name in ("1", "2/1.jpg", "2/1.png")}
    assert files_in(Path("day/found")) == {"predictions.json"} | RECORD | pictures | bodies


def test_results_may_lie_beside_the_photos(tree):
    tree("day/1.jpg", "day/2.jpg")
    for _ in range(2):
        assert predict(["day"], *WHOLE, "--out", "day") == 0
        assert [result["file_name"] for result in read_results(Path("day"))] == ["1.jpg", "2.jpg"]


def test_a_drawing_overwrites_no_photo(photos, tmp_path, capsys):
    drawn = photos[0].rename(tmp_path / "street_pose.png")
    before = drawn.read_bytes()
    assert predict([drawn, photos[1]], *WHOLE, "--out", tmp_path) == 2
    assert f"The drawing of {photos[1]} would overwrite the photo {drawn}" in capsys.readouterr().err
    assert drawn.read_bytes() == before


def test_yolo_has_no_place_for_photos_of_one_name(tree, capsys):
    tree("a/1.jpg", "a/1.png")
    assert predict(["a"], *WHOLE, "--save", "yolo") == 2
    assert "YOLO has one file of labels for photos that differ in their endings alone" in capsys.readouterr().err
    assert not Path("predictions").exists()


@pytest.mark.parametrize("where", ["a file", "below a file", "read only"])
def test_a_folder_that_cannot_be_written_is_told_before_a_model_is_loaded(where, tree, capsys, monkeypatch):
    tree("a/1.jpg")
    if where == "read only":

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    out = {"a file": "a/1.jpg", "below a file": "a/1.jpg/x", "read only": "out"}[where]
    assert predict(["a"], "--model", "no/such-model", "--whole-image", "--out", out) == 2
    message = "cannot be written into: Permission denied" if where == "read only" else "expected a folder"
    assert f"error: out: {out if where == 'read only' else ''}" in (shown := capsys.readouterr().err)
    assert message in shown and "no/such-model" not in shown
    assert not Path("out").exists()


def test_photos_at_addresses_are_fetched(tree, served, tmp_path):
    tree("www/a/1.jpg", "www/b/1.jpg")
    assert predict([f"{served}/www/a/1.jpg", f"{served}/moved/b/1.jpg"], *WHOLE, "--out", "out") == 0
    assert [result["file_name"] for result in read_results(Path("out"))] == ["www/a/1.jpg", "moved/b/1.jpg"]
    assert {"www/a/1_pose.png", "moved/b/1_pose.png"} < files_in(Path("out"))


@pytest.mark.parametrize("pattern", ["**/*.png", "*/*.png", "*.png"])
def test_a_glob_does_not_take_what_was_drawn(pattern, tree):
    """Neither from a folder of predictions nor from beside the photos."""
    folder = tree("own.png", "sub/own.png", "x_pose.png", "sub/x_pose.png", "predictions/x_pose.png")
    (folder / "predictions.jsonl").touch()
    (folder / "predictions" / "predictions.jsonl").touch()
    names = [Path(photo.name).name for photo in find_sources(pattern, out=folder).photos]
    assert set(names) == {"own.png"}


def test_a_drawn_clip_is_no_source_of_the_next_run(tree):
    folder = tree("street.mp4", "street_pose.mp4")
    assert [video.stem for video in find_sources(folder, out=folder).videos] == ["street"]


def test_no_file_is_written_outside_of_the_folder_of_results(tree):
    tree("up.png", "deep/er/own.png")
    assert [(photo.name, photo.stem) for photo in find_sources("deep/*/../../up.png").photos] == [("up.png", "up")]


def test_a_folder_may_be_called_by_a_number(tree):
    tree("2024/a.png")
    assert [photo.name for photo in find_sources("2024").photos] == ["a.png"]
    assert [video.place for video in find_sources(["2025", 2024]).videos] == [2025, 2024]


def test_a_glob_leaves_out_folders_of_predictions(tree):
    """Their other pictures too, wherever the results of this run go."""
    folder = tree("a.png", "old/b.png", "old/deep/c.png")
    (folder / "old" / "predictions.jsonl").touch()
    assert [photo.name for photo in find_sources("**/*.png", out=folder / "new").photos] == ["a.png"]
    assert [photo.name for photo in find_sources("old/*.png", out=folder / "new").photos] == ["b.png"]


def test_photos_of_stereo_cameras_are_found_in_folders(tree):
    assert [photo.name for photo in find_sources(tree("left_and_right.MPO")).photos] == ["left_and_right.MPO"]


@pytest.mark.parametrize("letter", ["x", "é", "名"])
@pytest.mark.parametrize("forms", ["pictures,json", "openpose,yolo,csv,label-studio"])
def test_a_name_may_be_as_long_as_file_systems_take(letter, forms, tree):
    name = letter * (251 // len(letter.encode()))
    photos = tree(f"photos/{name}.png", f"photos/{name[:-1]}.png", "photos/z.png") / "photos"
    assert predict([photos], *WHOLE, "--out", "out", "--save", forms) == 0
    assert not (Path("out") / "failed.csv").exists()


def test_names_that_are_no_text_go_into_every_form(tree):
    photos = tree("photos/z.png") / "photos"
    try:
        os.rename(photos / "z.png", photos / os.fsdecode(b"a\x80b.png"))
    except OSError:
        pytest.skip("file systems of this machine take text alone")
    forms = "pictures,json,coco-annotations,label-studio,yolo,openpose,deeplabcut,csv,parquet"
    assert predict([photos], *WHOLE, "--out", "out", "--save", forms) == 0


def test_photos_of_several_frames_are_told(tree, caplog):
    photos = tree("photos/one.png") / "photos"
    frames = [Image.new("RGB", (40, 60), (30 * number, 0, 0)) for number in range(3)]
    for name in ("clip.gif", "pages.tiff", "moving.webp"):
        frames[0].save(photos / name, save_all=True, append_images=frames[1:])
    assert predict([photos], *WHOLE, "--out", "out") == 0
    (told,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert told.startswith("3 photos have further frames or pages, such as ")


def test_resume_is_refused_where_there_are_only_videos(tree, capsys):
    tree("street.mp4")
    assert predict(["street.mp4"], *WHOLE, "--resume") == 2
    assert "--resume is for photos" in capsys.readouterr().err
