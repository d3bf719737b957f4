"""Photos that cannot be read cost a line of a report, never the run."""

import csv
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from predict_help import files_in, predict, read_results

import vitpose.photos.crops

WHOLE = ("--model", "tiny", "--whole-image")


def gigantic() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind in ("a folder", "a pipe", "a link to nowhere"):
        path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to nowhere":
        path.symlink_to("nowhere.jpg")
    else:
        contents = {"cut short": content[:-1500], "empty": b"", "a page": b"<html>", "gigantic": gigantic()}
        path.write_bytes(contents[kind])


KINDS = [
    ("cut short", "image file is truncated"),
    ("empty", "an empty file"),
    ("a page", "not an image"),
    ("gigantic", "too large"),
    ("a pipe", "not a file"),
    ("a link to nowhere", "no longer there"),
]


def report(out: Path) -> dict[str, str]:
    with (out / "failed.csv").open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["error"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(("kind", "reason"), KINDS)
def test_a_damaged_photo_is_told_and_the_others_are_predicted(kind, reason, photos, tmp_path, caplog):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate([photos[1], photos[0], photos[1]]):
        (folder / f"{number}.jpg").write_bytes(photo.read_bytes())
    damage(folder / "1.jpg", kind)
    assert predict([folder], *WHOLE, "--out", tmp_path / "out") == 1
    assert [(result["image_id"], result["file_name"]) for result in read_results(tmp_path / "out")] == [
        (0, "0.jpg"),
        (2, "2.jpg"),
    ]
    assert list(report(tmp_path / "out")) == ["1.jpg"] and reason in report(tmp_path / "out")["1.jpg"]
    assert f"{folder / '1.jpg'}: " in caplog.text and "1 of 3 photos failed" in caplog.text
    assert not any("1_pose" in name for name in files_in(tmp_path / "out"))


def test_photos_that_may_be_bad_do_not_count(photos, tmp_path):
    damage(photos[0], "cut short")
    out = tmp_path / "out"
    assert predict(photos, *WHOLE, "--skip-bad", "--out", out) == 0
    assert list(report(out)) == ["beach.jpg"]
    photos[0].write_bytes(photos[1].read_bytes())
    assert predict(photos, *WHOLE, "--out", out) == 0
    assert "failed.csv" not in files_in(out)


def test_only_the_first_are_told_one_by_one(photos, tmp_path, caplog):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number}.jpg").touch()
    assert predict([folder], *WHOLE, "--out", tmp_path / "out") == 1
    assert caplog.text.count("an empty file") == 10 and "25 of 25 photos failed" in caplog.text
    assert len(report(tmp_path / "out")) == 25 and read_results(tmp_path / "out") == []


def test_a_photo_that_vanishes_before_it_is_drawn_is_told(photos, tmp_path, monkeypatch):
    read = vitpose.photos.crops.read_ahead

    def read_and_lose(*given, **options):
        for image in read(*given, **options):
            if image.source.name == "beach.jpg":
                photos[0].unlink()
            yield image

    monkeypatch.setattr("vitpose.photos.crops.read_ahead", read_and_lose)
    assert predict(photos, *WHOLE, "--out", tmp_path / "out") == 1
    assert report(tmp_path / "out") == {"beach.jpg": "no longer there"}
    assert [result["file_name"] for result in read_results(tmp_path / "out")] == ["street.png"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("www/nothing.jpg", "the server answers 404"),
        ("www/page.jpg", "not an image"),
        ("endless/1.jpg", "more than 1 MiB"),
        ("breaks/1.jpg", "cannot be fetched"),
    ],
)
def test_an_address_that_fails_costs_itself_alone(place, reason, served, tmp_path, monkeypatch):
    monkeypatch.setattr("vitpose.photos.reading.MAX_BYTES", 1024**2)
    www = tmp_path / "www"
    www.mkdir()
    Image.new("RGB", (40, 60)).save(www / "1.jpg")
    (www / "page.jpg").write_text("<html>")
    assert predict([f"{served}/{place}", f"{served}/www/1.jpg"], *WHOLE, "--out", tmp_path / "out") == 1
    assert [own for own in report(tmp_path / "out").values() if reason in own]
    assert len(read_results(tmp_path / "out")) == 1


def test_a_server_that_is_not_there_costs_its_photo_alone(photos, tmp_path):
    assert predict(["http://127.0.0.1:9/1.jpg", photos[0]], *WHOLE, "--out", tmp_path / "out") == 1
    assert "cannot be fetched" in report(tmp_path / "out")["1.jpg"]
    assert len(read_results(tmp_path / "out")) == 1


def test_a_full_disk_ends_the_run_and_says_how_to_go_on(photos, tmp_path, monkeypatch, capsys, caplog):
    folder, drawn = tmp_path / "photos", []
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(photos[1].read_bytes())
    save = Image.Image.save

    def save_until_full(image, path, **options):
        drawn.append(path)
        if len(drawn) > 3:
            raise OSError(28, "No space left on device")
        save(image, path, **options)

    with monkeypatch.context() as patched:
        patched.setattr("PIL.Image.Image.save", save_until_full)
        assert predict([folder], *WHOLE, "--out", tmp_path / "out") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert "of 6 photos are in" in caplog.text and "--resume goes on" in caplog.text
    assert predict([folder], *WHOLE, "--resume", "--out", tmp_path / "out") == 0
    assert len(read_results(tmp_path / "out")) == 6
