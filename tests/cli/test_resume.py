"""A run of `vitpose predict` that was ended goes on: nothing is lost, and nothing there twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predict_help import files_in, predict, read_results

import vitpose.photos.journal
from vitpose import People, get_keypoint_schema
from vitpose.forms import FormName

WHOLE = ("--model", "tiny", "--whole-image")
COUNT = 20


@pytest.fixture
def folder(tmp_path) -> Path:
    """Photos of noise, some of them called alike."""
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / "photos" / str(number % 2) / f"{number // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (60 + number, 50, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def names_in(out: Path) -> list[str]:
    """Photos of the journal, in its order."""
    return [json.loads(line)["file_name"] for line in (out / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture
def whole(folder, tmp_path) -> Path:
    """What an unbroken run left."""
    out = tmp_path / "whole"
    assert predict([folder], *WHOLE, "--recursive", "--save", "pictures,json,csv", "--out", out) == 0
    return out


@pytest.fixture
def broken(whole, tmp_path) -> Path:
    """What a run left that was killed in the middle of the eighth line."""
    out = tmp_path / "broken"
    out.mkdir()
    lines = (whole / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:100])
    facts = json.loads((whole / "run.json").read_text()) | {"finished": False}
    (out / "run.json").write_text(json.dumps(facts))
    return out


def resume(folder: Path, out: Path, *arguments: object) -> int:
    return predict([folder], *WHOLE, "--recursive", "--resume", *arguments, "--out", out)


def test_a_run_that_was_cut_off_goes_on_where_it_was(folder, whole, broken):
    assert resume(folder, broken, "--save", "pictures,json,csv") == 0
    assert names_in(broken) == names_in(whole)
    found, expected = read_results(broken), read_results(whole)
    assert [own["file_name"] for own in found] == [own["file_name"] for own in expected]
    for own, other in zip(found, expected, strict=True):
        assert own["image_id"] == other["image_id"]
        assert own["keypoints"] == pytest.approx(other["keypoints"], abs=2e-3)  # other batches round otherwise
    drawn = {name for name in files_in(broken) if name.endswith("_pose.png")}
    assert len(drawn) == COUNT - 7  # those of the seven were drawn in the run before
    assert json.loads((broken / "run.json").read_text())["finished"] is True


def test_a_line_that_was_cut_off_is_gone_also_where_none_follows(folder, broken):
    done = names_in_bytes(broken)
    for path in folder.rglob("*.png"):
        if path.relative_to(folder).as_posix() not in done:
            path.write_bytes(b"")
    assert resume(folder, broken) == 1
    assert names_in(broken) == done


def names_in_bytes(out: Path) -> list[str]:
    """Photos whose lines are whole."""
    lines = (out / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line)["file_name"] for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("moment", ["early", "late"])
def test_a_run_that_is_killed_goes_on(moment, folder, whole, tmp_path):
    out = tmp_path / "killed"
    saved = ["--save", "pictures,json,csv", "--out", str(out)]
    command = [sys.executable, "-m", "vitpose", "predict", str(folder), *WHOLE, "--recursive", *saved]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (out / "run.json").exists() or (moment == "late" and len(names_in(out)) < 3):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert resume(folder, out, "--save", "pictures,json,csv") == 0
    assert sorted(names_in(out)) == sorted(names_in(whole)) and len(set(names_in(out))) == COUNT
    assert files_in(out) == files_in(whole)  # every picture is there, and nothing half written
    for path in out.rglob("*.png"):
        with Image.open(path) as image:
            image.load()


@pytest.mark.slow
def test_a_hundred_photos_are_complete_after_two_kills(checkout, tmp_path):
    script = checkout / "benchmarks" / "predict_folder.py"
    command = [sys.executable, str(script), str(tmp_path), "--photos", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "99 photos complete and once each, 1 reported as damaged" in done.stdout, done.stdout + done.stderr


def test_ctrl_c_says_how_to_go_on(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    add, added = vitpose.photos.journal.Journal.add, []

    def interrupt(journal, *line):
        add(journal, *line)
        added.append(line)
        if len(added) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vitpose.photos.journal.Journal.add", interrupt)
        assert predict([folder], *WHOLE, "--recursive", "--out", out) == 130
    message = f"Interrupted. 4 of {COUNT} photos are in {out}: the same command with --resume goes on."
    assert message in capsys.readouterr().err
    assert resume(folder, out) == 0
    assert len(set(names_in(out))) == len(names_in(out)) == COUNT


def test_a_run_that_was_not_finished_is_not_begun_anew_by_mistake(folder, broken, capsys):
    before = (broken / "predictions.jsonl").read_bytes()
    assert predict([folder], *WHOLE, "--recursive", "--out", broken) == 2
    assert "has a run that was not finished: go on with it by --resume" in capsys.readouterr().err
    assert (broken / "predictions.jsonl").read_bytes() == before


def test_a_run_without_a_line_is_begun_anew(folder, broken):
    (broken / "predictions.jsonl").write_bytes(b"")
    assert predict([folder], *WHOLE, "--recursive", "--out", broken) == 0
    (broken / "predictions.jsonl").write_bytes(b"")
    (broken / "run.json").unlink()
    assert resume(folder, broken) == 0
    assert len(names_in(broken)) == COUNT


def test_a_finished_run_is_done_again_or_only_written_again(folder, whole, monkeypatch):
    before = (whole / "predictions.jsonl").read_bytes()
    assert predict([folder / "0"], *WHOLE, "--out", whole) == 0
    assert len(names_in(whole)) == COUNT // 2
    assert predict([folder], *WHOLE, "--recursive", "--save", "json", "--out", whole) == 0
    assert (whole / "predictions.jsonl").read_bytes() == before

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this was predicted before")

    monkeypatch.setattr("vitpose.processing.prediction_vitpose.PosePredictor.heatmaps", refuse)
    assert resume(folder, whole, "--save", "yolo,parquet") == 0
    assert (whole / "predictions.parquet").exists() and (whole / "yolo" / "labels" / "1" / "9.txt").exists()


def test_a_resumed_run_may_be_the_first(folder, tmp_path):
    assert resume(folder, tmp_path / "out") == 0
    assert len(names_in(tmp_path / "out")) == COUNT


def test_photos_that_are_new_or_mended_are_predicted_too(folder, whole):
    (folder / "0" / "3.png").rename(folder / "0" / "3.bak")
    (folder / "0" / "3.png").touch()
    assert predict([folder], *WHOLE, "--recursive", "--out", whole) == 1
    assert "0/3.png" not in names_in(whole)
    shutil.copyfile(folder / "0" / "3.bak", folder / "0" / "3.png")
    shutil.copyfile(folder / "0" / "3.bak", folder / "0" / "00.png")
    assert resume(folder, whole) == 0
    assert names_in(whole)[-2:] == ["0/00.png", "0/3.png"]
    results = read_results(whole)  # in the order of the photos, however they came into the journal
    assert [own["file_name"] for own in results][:3] == ["0/0.png", "0/00.png", "0/1.png"]
    assert [own["image_id"] for own in results] == list(range(COUNT + 1))


OTHER = [
    (["--flip-test"], "flip_test: expected false, as in the run to resume in .*, got true"),
    (["--dtype", "bfloat16"], 'dtype: expected null, as in the run to resume in .*, got "bfloat16"'),
    (["--style", "openpose"], 'pictures: expected "overlay", as in the run to resume in .*, got "openpose"'),
    (["--threshold", "0.5"], "threshold: expected null, as in the run to resume in .*, got 0.5"),
    (["--dataset", "coco"], "dataset: expected null"),
]


@pytest.mark.parametrize(("arguments", "message"), OTHER, ids=[row[0][0] for row in OTHER])
def test_a_run_goes_on_with_its_own_settings_alone(arguments, message, folder, broken, capsys):
    before = (broken / "predictions.jsonl").read_bytes()
    assert resume(folder, broken, *arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert (broken / "predictions.jsonl").read_bytes() == before


def test_a_run_goes_on_with_its_own_model_and_photos_alone(folder, broken, model, capsys, tmp_path):
    assert predict([folder], "--model", model, "--whole-image", "--recursive", "--resume", "--out", broken) == 2
    assert 'model: expected "tiny", as in the run to resume' in capsys.readouterr().err
    assert predict([folder / "0"], *WHOLE, "--resume", "--out", broken) == 2
    assert f'folder: expected "{folder}", as in the run to resume' in capsys.readouterr().err
    (folder / "0" / "0.png").unlink()
    assert resume(folder, broken) == 2
    assert "has 1 photos that are not among those given, such as 0/0.png" in capsys.readouterr().err


def test_pictures_that_are_no_longer_asked_for_are_no_matter(folder, broken):
    assert resume(folder, broken, "--save", "json") == 0
    assert len(read_results(broken)) == COUNT


DAMAGES = [
    (b'{"file_name": "0/3.png"\n', "line 3 is damaged"),
    (b'{"file_nam": 1}\n', "line 3 is damaged"),
    (b"[1, 2]\n", "line 3 is damaged"),
    (None, "line 3 is the second one of 0/1.png"),
]


@pytest.mark.parametrize(("line", "message"), DAMAGES)
def test_a_journal_that_was_changed_is_told_by_its_line(line, message, folder, broken, capsys):
    lines = (broken / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = lines[1] if line is None else line
    (broken / "predictions.jsonl").write_bytes(b"".join(lines))
    assert resume(folder, broken) == 2
    assert message in capsys.readouterr().err


def test_a_last_line_of_zeros_is_left_out(folder, broken):
    """What some file systems leave where power failed."""
    with (broken / "predictions.jsonl").open("r+b") as file:
        kept = b"".join(file.read().splitlines(keepends=True)[:7])
        file.seek(0)
        file.truncate()
        file.write(kept + bytes(300) + b"\n")
    assert resume(folder, broken) == 0
    assert len(names_in(broken)) == len(set(names_in(broken))) == COUNT


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_a_second_run_that_begins_beside_the_first_changes_nothing(tmp_path):
    """Not even before the first photo is done."""
    settings = {"model": "tiny"}
    with vitpose.photos.journal.Journal(tmp_path, settings, resume=False) as first:
        second = vitpose.photos.journal.Journal(tmp_path, settings, resume=True)
        with pytest.raises(FileExistsError, match="Another run is writing"), second:
            pass
        first.add("a.png", 8, 8, People.nobody(get_keypoint_schema("coco")))
    assert names_in(tmp_path) == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_runs_do_not_write_into_one_folder(folder, broken, capsys):
    settings = json.loads((broken / "run.json").read_text())["settings"]
    with vitpose.photos.journal.Journal(broken, settings, resume=True):
        (broken / "failed.csv").write_text("of the run at work")
        assert resume(folder, broken) == 2
        assert "Another run is writing" in capsys.readouterr().err
        assert (broken / "failed.csv").read_text() == "of the run at work"
    assert resume(folder, broken) == 0
    assert len(names_in(broken)) == len(set(names_in(broken))) == COUNT


FORMS: list[FormName] = ["coco-annotations", "csv", "deeplabcut", "json", "label-studio", "openpose", "yolo"]


def test_forms_have_what_they_would_have_in_an_unbroken_run(folder, whole, broken):
    """Of the same lines, every form is the same byte for byte."""
    shutil.copyfile(whole / "predictions.jsonl", broken / "predictions.jsonl")
    for out in (whole, broken):
        assert resume(folder, out, "--save", ",".join(FORMS)) == 0
    forms = {name for name in files_in(broken) if not name.endswith(("run.json", "_pose.png"))}
    assert forms <= files_in(whole) and len(forms) > 2 * COUNT
    for name in forms:
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


def test_a_pick_goes_on(folder, tmp_path, monkeypatch):
    add, added = vitpose.photos.journal.Journal.add, []

    def interrupt(journal, *line):
        add(journal, *line)
        added.append(line)
        if len(added) == 4:
            raise KeyboardInterrupt

    command = ("--pick", 3, "--save", "pictures,json,label-studio")
    assert predict([folder], *WHOLE, "--recursive", *command, "--out", tmp_path / "whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr("vitpose.photos.journal.Journal.add", interrupt)
        assert predict([folder], *WHOLE, "--recursive", *command, "--out", tmp_path / "out") == 130
    assert resume(folder, tmp_path / "out", *command) == 0
    picked = [own["file_name"] for own in read_results(tmp_path / "whole")]
    assert [own["file_name"] for own in read_results(tmp_path / "out")] == picked and len(picked) == 3
    assert {f"picked/{name}" for name in picked} < files_in(tmp_path / "out")
