"""Each form of predictions, read back by the tool that it is for, or as that tool's documentation reads it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO as CocoFile
from pycocotools.cocoeval import COCOeval

import vitpose
from vitpose import People, get_keypoint_schema
from vitpose.forms import FORMS, FORMS_OF_PHOTOS, FormName, open_forms
from vitpose.forms.base import Photo, Source
from vitpose.forms.lines import people_of_line, people_to_line
from vitpose_cli.predict import SAVED

COCO = get_keypoint_schema("coco")
SIZE = (320, 240)  # width, height of the photos in pixels
NAMES = ("beach.jpg", "nobody.png", "straße 7.jpg")


def people_in(count: int, seed: int) -> People:
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, 17, generator=random)
    return People(
        keypoints_xy=torch.rand(count, 17, 2, generator=random) * torch.tensor([SIZE[0] - 1.0, SIZE[1] - 1.0]),
        scores=torch.where(scores > 0.15, scores, 0.05),
        boxes_xywh=torch.tensor([[10.0, 20.0, 100.0, 150.0], [200, 30, 60, 90]])[:count],
        box_scores=torch.tensor([0.9, 0.5])[:count],
        labels=("person", "acrobat")[:count],
        schema=COCO,
    )


FOUND = [people_in(2, seed=1), People.nobody(COCO), people_in(1, seed=2)]


def photo_called(name: str, number: int, folder: Path) -> Photo:
    stem = str(Path(name).with_suffix(""))
    return Photo(number=number, name=name, stem=stem, width=SIZE[0], height=SIZE[1], place=folder / name)


def write(names: list[FormName], out: Path, found: list[People] = FOUND) -> Path:
    """Write these people of three photos in `photos`, beside the forms."""
    source = Source(schema=found[0].schema, model="my-model", folder=out / "photos")
    with open_forms(names, out, source) as add:
        for number, (name, people) in enumerate(zip(NAMES, found, strict=True)):
            add(photo_called(name, number, out / "photos"), people)
    return out


def save_photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", SIZE, (90, 90, 90)).save(folder / name)


def read_coco_back(path: Path) -> CocoFile:
    return CocoFile(str(path))


def test_cocos_own_evaluation_reads_results_and_annotations(tmp_path):
    out = write(["json", "coco-annotations"], tmp_path)
    truth = read_coco_back(out / "annotations.json")
    assert [truth.imgs[number]["file_name"] for number in (0, 1, 2)] == list(NAMES)
    assert truth.imgs[1]["width"] == 320 and truth.getAnnIds(imgIds=1) == []
    assert {own["name"]: own["id"] for own in truth.cats.values()} == {"person": 1, "acrobat": 2}
    for category in truth.cats.values():
        assert category["keypoints"] == list(COCO.keypoints)
        assert category["skeleton"] == [[a + 1, b + 1] for a, b in COCO.edges]
    results = json.loads((out / "predictions.json").read_text())
    assert [result["file_name"] for result in results] == [NAMES[0], NAMES[0], NAMES[2]]
    evaluation = COCOeval(truth, truth.loadRes([own for own in results if own["bbox"][0] == 10]), "keypoints")
    evaluation.params.catIds = [1]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_annotations_are_read_back_for_training(tmp_path):
    save_photos(tmp_path / "photos")
    found = [replace(people, labels=("person",) * len(people)) for people in FOUND]
    out = write(["coco-annotations"], tmp_path, found)
    table = vitpose.data.read_coco(out / "annotations.json", out / "photos", schema=COCO)
    check_people(table, found)


def check_people(table, found: list[People]) -> None:
    """That a dataset has these people with the keypoints above 0.2."""
    wanted = People.join(found)
    assert len(table) == len(wanted)
    for row, points, scores, box in zip(table, wanted.keypoints_xy, wanted.scores, wanted.boxes_xywh, strict=True):
        keypoints = np.reshape(row["keypoints"], (17, 3))
        labeled = scores.numpy() > 0.2
        assert keypoints[:, 2].tolist() == (2 * labeled).tolist()
        np.testing.assert_allclose(keypoints[labeled, :2], points.numpy()[labeled], atol=2e-3)
        assert row["bbox"] == pytest.approx(box.tolist(), abs=2e-3)


def test_label_studio_gets_a_task_a_photo_and_a_configuration_that_fits(tmp_path):
    out = write(["label-studio"], tmp_path)
    tasks = json.loads((out / "label_studio.json").read_text(encoding="utf-8"))
    served = [task["data"]["image"].removeprefix("/data/local-files/?d=") for task in tasks]
    assert [unquote(place) for place in served] == [f"photos/{name}" for name in NAMES]
    assert served[2].isascii() and " " not in served[2]  # as addresses are
    root = ElementTree.parse(out / "label_studio.xml").getroot()
    controls = {tag.get("name"): tag for tag in root}
    assert {tag.get("toName") for tag in root if tag.tag != "Image"} == {"image"} and "image" in controls
    assert [tag.get("value") for tag in controls["box"]] == ["person", "acrobat"]
    assert [tag.get("value") for tag in controls["keypoint"]] == list(COCO.keypoints)
    assert [tag.get("model_index") for tag in controls["keypoint"]] == list(map(str, range(17)))
    for task, people in zip(tasks, FOUND, strict=True):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "my-model"
        for region in prediction["result"]:
            (label,) = region["value"][region["type"]]
            assert label in [tag.get("value") for tag in controls[region["from_name"]]]
        kinds = [region["type"] for region in prediction["result"]]
        assert kinds.count("rectanglelabels") == len(people)
        assert kinds.count("keypointlabels") == (people.scores > 0.2).sum()


def test_yolo_has_a_file_a_photo_also_of_nobody(tmp_path):
    out = write(["yolo"], tmp_path) / "yolo"
    config = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert config["names"] == {0: "person", 1: "acrobat"} and config["kpt_shape"] == [17, 3]
    assert config["flip_idx"] == list(COCO.flip_index)
    assert config["kpt_names"][1] == list(COCO.keypoints)
    files = {path.name: path.read_text().splitlines() for path in (out / "labels").iterdir()}
    assert {name: [line.split()[0] for line in lines] for name, lines in files.items()} == {
        "beach.txt": ["0", "1"],
        "nobody.txt": [],
        "straße 7.txt": ["0"],
    }
    assert (out / config["train"]).parent == out  # where the photos have to be put


def test_openpose_has_a_file_a_photo_also_of_nobody(tmp_path):
    out = write(["openpose"], tmp_path) / "openpose"
    files = {path.name: json.loads(path.read_text())["people"] for path in out.iterdir()}
    assert {name: len(people) for name, people in files.items()} == {
        "beach_keypoints.json": 2,
        "nobody_keypoints.json": 0,
        "straße 7_keypoints.json": 1,
    }


def test_deeplabcut_has_individuals_as_pandas_reads_them(tmp_path):
    table = pd.read_csv(write(["deeplabcut"], tmp_path) / "deeplabcut.csv", header=[0, 1, 2, 3], index_col=0)
    assert table.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    assert table.index.tolist() == list(NAMES)
    own = table["vitpose"]
    assert own.loc["nobody.png"].isna().all() and own.loc["straße 7.jpg", "individual2"].isna().all()
    for name, number, individual in [(NAMES[0], 0, 0), (NAMES[0], 0, 1), (NAMES[2], 2, 0)]:
        cells = own.loc[name, f"individual{individual + 1}"].to_numpy().reshape(17, 3)
        np.testing.assert_allclose(cells[:, :2], FOUND[number].keypoints_xy[individual], atol=1e-3)
        np.testing.assert_allclose(cells[:, 2], FOUND[number].scores[individual], atol=1e-3)
    assert table.columns.get_level_values("coords")[:3].tolist() == ["x", "y", "likelihood"]


def test_deeplabcut_has_no_individuals_where_each_photo_shows_one(tmp_path):
    out = write(["deeplabcut"], tmp_path, [people[:1] for people in FOUND])
    table = pd.read_csv(out / "deeplabcut.csv", header=[0, 1, 2], index_col=0)
    assert table.columns.names == ["scorer", "bodyparts", "coords"] and table.shape == (3, 51)
    assert table["vitpose"]["left_knee"]["x"].isna().tolist() == [False, True, False]


def test_tracked_people_are_one_individual_in_all_frames(tmp_path):
    tracked = replace(people_in(2, seed=3), track_ids=torch.tensor([8, 4]))
    found = [tracked[:1], tracked[[1, 0]], tracked[[1]]]
    with open_forms(["deeplabcut"], tmp_path, Source(schema=COCO)) as add:
        for number, people in enumerate(found):
            own = {"name": f"walk_{number}", "stem": f"walk_{number}", "video": "walk.mp4"}
            photo = Photo(number=number, **own, width=320, height=240)
            add(photo, people)
    table = pd.read_csv(tmp_path / "deeplabcut.csv", header=[0, 1, 2, 3], index_col=0)["vitpose"]
    assert table.index.tolist() == [0, 1, 2]
    noses = [table[individual]["nose"]["x"] for individual in ("individual1", "individual2")]
    assert noses[0].isna().tolist() == [False, False, True] and noses[1].isna().tolist() == [True, False, False]
    assert noses[0][0] == noses[0][1] != noses[1][1]


def test_tables_have_the_same_rows(tmp_path):
    out = write(["csv", "parquet"], tmp_path)
    of_csv, of_parquet = pd.read_csv(out / "predictions.csv"), pq.read_table(out / "predictions.parquet").to_pandas()
    assert list(of_csv.columns) == list(of_parquet.columns) and len(of_csv) == len(of_parquet) == 3 * 17
    assert of_csv["image"].unique().tolist() == of_parquet["image"].unique().tolist() == [NAMES[0], NAMES[2]]
    for name in ("x", "y", "score", "person_score", "box_width"):
        np.testing.assert_allclose(of_csv[name], of_parquet[name], atol=1e-4)
    assert of_parquet["x"].to_numpy() == pytest.approx(People.join(FOUND).keypoints_xy[..., 0].flatten().numpy())
    assert of_csv["track_id"].isna().all() and of_parquet["track_id"].isna().all()


def test_a_large_table_is_written_group_by_group(tmp_path, monkeypatch):
    monkeypatch.setattr("vitpose.forms.table._ROWS_AT_ONCE", 30)
    file = pq.ParquetFile(write(["parquet"], tmp_path) / "predictions.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [34, 17]


FILES = {  # that a form writes, of three photos
    "json": {"predictions.json"},
    "coco-annotations": {"annotations.json"},
    "label-studio": {"label_studio.json", "label_studio.xml"},
    "yolo": {"yolo/data.yaml", *(f"yolo/labels/{Path(name).stem}.txt" for name in NAMES)},
    "openpose": {f"openpose/{Path(name).stem}_keypoints.json" for name in NAMES},
    "deeplabcut": {"deeplabcut.csv"},
    "csv": {"predictions.csv"},
    "parquet": {"predictions.parquet"},
}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_nobody_is_whole(name, tmp_path):
    write([name], tmp_path, [People.nobody(COCO)] * 3)
    assert files_below(tmp_path) == FILES[name]


@pytest.mark.parametrize("name", FORMS)
def test_a_run_that_fails_leaves_no_half_file(name, tmp_path):
    def fail() -> None:
        with open_forms([name], tmp_path, Source(schema=COCO, folder=tmp_path)) as add:
            add(photo_called("beach.jpg", 0, tmp_path), FOUND[0])
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail()
    whole = {"openpose/beach_keypoints.json", "yolo/labels/beach.txt"}  # files of one photo are complete
    assert files_below(tmp_path) <= whole


def test_the_command_knows_the_forms():
    assert tuple(SAVED) == ("pictures", *FORMS) and tuple(FORMS) == get_args(FormName)
    assert set(FORMS_OF_PHOTOS) < set(FORMS)
    page = (Path(__file__).parents[2] / "docs" / "predictions.md").read_text(encoding="utf-8")
    for name, files in FILES.items():
        assert f"| `{name}` |" in page
        assert Path(min(files)).parts[0] in page.split(f"| `{name}` |")[1].split("\n")[0]


def test_an_unknown_form_is_named(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'coco-annotations'"):
        write(["coco-annotation"], tmp_path)


def test_openpose_is_refused_for_animals_before_any_work(tmp_path):
    schema = get_keypoint_schema("ap10k")
    with pytest.raises(ValueError, match="the keypoints of 'ap10k' are of the category 'animal'"):
        write(["csv", "openpose"], tmp_path, [People.nobody(schema)] * 3)
    assert files_below(tmp_path) == set()


def read_back(form: str, folder: Path):
    """People of a folder by the reader of a tool's form."""
    if form not in getattr(vitpose.data, "list_annotation_forms", list)():
        pytest.skip(f"there is no reader of {form}")
    return vitpose.read_dataset(form, folder, split="train", schema=COCO)


def test_yolo_is_read_back(tmp_path):
    found = [replace(people, labels=("person",) * len(people)) for people in FOUND]
    out = write(["yolo"], tmp_path, found) / "yolo"
    save_photos(out / "images")
    check_people(read_back("yolo", out), found)
    with pytest.raises(ValueError, match="photos of train and val are the same"):  # until somebody divides them
        vitpose.read_dataset("yolo", out, split="val", schema=COCO)


def test_label_studios_predictions_are_read_back_once_they_are_accepted(tmp_path):
    found = [replace(people, labels=("person",) * len(people)) for people in FOUND]
    tasks = json.loads((write(["label-studio"], tmp_path, found) / "label_studio.json").read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, start=1):
        (accepted,) = task["predictions"]
        task |= {"id": number, "annotations": [{"id": number, "result": accepted["result"]}], "predictions": []}
    save_photos(tmp_path / "export" / "photos")
    (tmp_path / "export" / "project.json").write_text(json.dumps(tasks), encoding="utf-8")
    check_people(read_back("label_studio", tmp_path / "export"), found)


def test_photos_of_folders_keep_these(tmp_path):
    names = ("a/1.jpg", "b/1.jpg")
    everything: list[FormName] = ["json", "coco-annotations", "label-studio", "yolo", "openpose", "deeplabcut", "csv"]
    with open_forms(everything, tmp_path, Source(schema=COCO, folder=tmp_path / "photos")) as add:
        for number, name in enumerate(names):
            add(photo_called(name, number, tmp_path / "photos"), people_in(1, seed=number))
        add(replace(photo_called("c.jpg", 2, tmp_path), place="https://example.com/c.jpg"), People.nobody(COCO))
    assert [own["file_name"] for own in json.loads((tmp_path / "predictions.json").read_text())] == list(names)
    stored = json.loads((tmp_path / "annotations.json").read_text())["images"]
    assert [own["file_name"] for own in stored] == [*names, "c.jpg"]
    places = [task["data"]["image"] for task in json.loads((tmp_path / "label_studio.json").read_text())]
    served = [f"/data/local-files/?d=photos/{name}" for name in names]
    assert places == [*served, "https://example.com/c.jpg"]
    assert {"yolo/labels/a/1.txt", "openpose/b/1_keypoints.json"} < files_below(tmp_path)
    assert pd.read_csv(tmp_path / "predictions.csv")["image"].unique().tolist() == list(names)


@pytest.mark.parametrize("is_tracked", [False, True])
def test_people_of_a_line_are_those_who_were_written(is_tracked):
    people = replace(people_in(2, seed=5), boxes_xywh=torch.rand(2, 4, dtype=torch.float64) * 1000)
    people = replace(people, track_ids=torch.tensor([7, 3])) if is_tracked else people
    for own in (people, people[:0]):
        line = json.loads(json.dumps(people_to_line(own)))
        back = people_of_line(line, COCO)
        for name in ("keypoints_xy", "scores", "boxes_xywh", "box_scores"):
            assert torch.equal(getattr(back, name), getattr(own, name)), name
        assert back.labels == own.labels
        assert len(own) == 0 or not is_tracked or torch.equal(back.track_ids, own.track_ids)
