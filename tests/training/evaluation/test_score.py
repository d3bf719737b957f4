"""Evaluation: the flip test, the way back to the image, and figures that are right at both ends."""

import copy
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from PIL import Image
from torch.utils.data import DataLoader

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation, get_keypoint_schema
from vitpose.data import to_coco_annotations
from vitpose.processing.heatmaps_vitpose import encode_heatmaps
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.people_vitpose import People
from vitpose.processing.prediction_vitpose import PosePredictor, locate_keypoints, predict_heatmaps
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.evaluation.evaluator import Evaluator
from vitpose.training.evaluation.predict import predict_people
from vitpose.training.evaluation.saved import evaluate_model, report_model
from vitpose.training.evaluation.score import score, to_coco_results
from vitpose.training.results.run_outputs import draw_predictions
from vitpose.training.samples.pose import PoseDataset
from vitpose.training.synthetic.people import SyntheticPeople

COCO = get_keypoint_schema("coco")
SETTINGS = ProcessorSettings(crop_size=(64, 48), heatmap_stride=2)
BACKBONE = {"image_size": (64, 48), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def people() -> list[dict]:
    generated = SyntheticPeople(num_people=6, seed=5, style="studio")
    return [generated[index] for index in range(len(generated))]


@pytest.fixture(scope="module")
def model() -> ViTPoseForPoseEstimation:
    torch.manual_seed(0)
    return ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny", **BACKBONE)).eval()


def perfect(rows: list[dict], schema=COCO) -> People:
    """Everyone where they are annotated, with scores of 0.9, in boxes that score what the rows say."""
    found = People.annotated([row["keypoints"] for row in rows], schema)
    return dataclasses.replace(
        found,
        scores=torch.full_like(found.scores, 0.9),
        boxes_xywh=torch.tensor([list(row["bbox"]) for row in rows], dtype=torch.float64),
        box_scores=torch.tensor([row.get("box_score", 1.0) for row in rows], dtype=torch.float64),
    )


def moved(found: People, row: int, by: float) -> People:
    """The same people, one of them pixels aside."""
    points = found.keypoints_xy.clone()
    points[row] += by
    return dataclasses.replace(found, keypoints_xy=points)


def test_the_flip_test_averages_with_the_mirrored_crop(model):
    crops = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = model(crops).heatmaps
        mirrored = model(torch.stack([crop.flip(2) for crop in crops])).heatmaps
    by_hand = plain.clone()
    for keypoint in range(17):
        partner = COCO.flip_index[keypoint]  # the left wrist of the mirrored crop is the right one
        by_hand[:, keypoint] = (plain[:, keypoint] + mirrored[:, partner].flip(2)) / 2
    assert torch.allclose(predict_heatmaps(model, crops, flip_index=COCO.flip_index), by_hand, atol=1e-6)
    torch.testing.assert_close(predict_heatmaps(model, crops, flip_index=None), plain)


def test_a_crop_and_its_mirror_image_get_mirrored_heatmaps(model):
    crops = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(2))
    one = predict_heatmaps(model, crops, flip_index=COCO.flip_index)
    other = predict_heatmaps(model, crops.flip(3), flip_index=COCO.flip_index)
    assert torch.allclose(one, other[:, list(COCO.flip_index)].flip(3), atol=1e-6)


@pytest.mark.parametrize(
    ("crop_xy", "image_xy"),
    [
        # the corners of the heatmap are those of the crop, without half a pixel between them
        ((0.0, 0.0), (10.0, 20.0)),
        ((47.0, 63.0), (10.0 + 2 * 47, 20.0 + 3 * 63)),
        ((23.5, 31.5), (10.0 + 2 * 23.5, 20.0 + 3 * 31.5)),
        ((47 / 23, 0.0), (10.0 + 2 * 47 / 23, 20.0)),
    ],
)
def test_heatmap_pixels_become_image_pixels(crop_xy, image_xy):
    matrix = torch.tensor([[[2.0, 0.0, 10.0], [0.0, 3.0, 20.0]]], dtype=torch.float64)  # two and three times, shifted
    point = torch.tensor(crop_xy).reshape(1, 1, 2)
    sizes = {"crop_size": SETTINGS.crop_size, "heatmap_size": SETTINGS.heatmap_size}
    heatmaps, _ = encode_heatmaps(point, torch.ones(1, 1), **sizes)
    found, _ = locate_keypoints(heatmaps, matrix, SETTINGS)
    assert found.flatten().tolist() == pytest.approx(image_xy, abs=0.02)


def test_perfect_heatmaps_lead_back_to_the_annotation(people):
    class Oracle(torch.nn.Module):
        """Answers with the target heatmaps of the batch it is asked about."""

        def forward(self, pixel_values: torch.Tensor):
            batch = next(answers)
            visible = torch.ones_like(batch["visibility"])
            sizes = {"crop_size": SETTINGS.crop_size, "heatmap_size": SETTINGS.heatmap_size}
            heatmaps, _ = encode_heatmaps(batch["keypoints_crop"], visible, **sizes)
            return type("Output", (), {"heatmaps": heatmaps})

    settings = dataclasses.replace(SETTINGS, dark_sigma=2.0)
    dataset = PoseDataset(people, schema=COCO, settings=settings, augmentation=None)
    loader = DataLoader(dataset, batch_size=4)
    answers = iter(list(loader))
    predictor = PosePredictor(models=Oracle(), settings=settings, schema=COCO)
    found = predict_people(predictor, loader, accelerator=Accelerator(cpu=True), detected=False)
    truth = np.array([person["keypoints"] for person in people])
    inside = truth[..., 2] > 0
    error = np.abs(found.keypoints_xy.numpy() - truth[..., :2])[inside]  # image pixels
    assert np.median(error) < 0.01  # all but those at the border of the heatmap
    assert error.max() < 2.0
    evaluation = score(found, people, to_coco_annotations(people, COCO), settings=SETTINGS)
    assert evaluation.metrics["AP"] > 0.99


def test_perfect_predictions_score_one(people):
    evaluation = score(perfect(people), people, to_coco_annotations(people, COCO), settings=SETTINGS)
    assert evaluation.metrics["AP"] == evaluation.metrics["AR"] == pytest.approx(1.0)
    assert evaluation.metrics["PCK"] == 1.0
    assert evaluation.primary == ("AP", evaluation.metrics["AP"])
    assert evaluation.similarity == pytest.approx(np.ones(len(people)))


def test_each_person_is_compared_with_its_own_annotation(people):
    predictions = moved(perfect(people), 2, 1000.0)
    evaluation = score(predictions, people, to_coco_annotations(people, COCO), settings=SETTINGS)
    assert evaluation.similarity.round(3).tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    assert evaluation.metrics["AR"] == pytest.approx(5 / 6)


def test_without_sigmas_pck_is_the_figure():
    lspet = dataclasses.replace(get_keypoint_schema("lspet"), sigmas=None)
    person = {
        **{"image_id": 0, "bbox": [0.0, 0.0, 50.0, 100.0], "area": 5000.0, "iscrowd": 0, "width": 50, "height": 100},
        "keypoints": [[float(3 * joint), float(7 * joint), 2.0] for joint in range(lspet.num_keypoints)],
    }
    evaluation = score(perfect([person], lspet), [person], to_coco_annotations([person], lspet), settings=SETTINGS)
    assert "AP" not in evaluation.metrics
    assert evaluation.primary == ("PCK", 1.0)
    assert np.isnan(evaluation.similarity).all()


def test_results_are_in_cocos_form_and_rescored(people):
    predictions = perfect(people[:1])
    predictions.scores[0, :7] = 0.1  # too low to count
    (result,) = to_coco_results(predictions, people[:1], settings=SETTINGS, annotated_boxes=True)
    assert set(result) == {"image_id", "category_id", "bbox", "keypoints", "score"}
    assert result["score"] == pytest.approx(0.9)
    assert result["bbox"] == pytest.approx(list(people[0]["bbox"]), abs=1e-3)
    rows = np.reshape(result["keypoints"], (17, 3))
    assert rows[:, :2] == pytest.approx(np.array(people[0]["keypoints"])[:, :2], abs=1e-3)
    assert json.loads(json.dumps(result)) == result


def test_a_detected_box_counts_by_its_score_and_once(people):
    person = {**people[0], "box_score": 0.5}
    other = {**people[0], "image_id": 77, "box_score": 0.8}
    found = [person, {**person, "box_score": 0.4}, other]
    results = to_coco_results(perfect(found), found, settings=SETTINGS, annotated_boxes=False)
    # the second box of the first photo found the same pose; the third is of another photo
    assert [(r["image_id"], round(r["score"], 3)) for r in results] == [(person["image_id"], 0.45), (77, 0.72)]


def test_different_poses_in_one_photo_stay(people):
    found = [{**people[0], "box_score": 0.5}, {**people[0], "box_score": 0.4}]
    predictions = moved(perfect(found), 1, 200.0)
    assert len(to_coco_results(predictions, found, settings=SETTINGS, annotated_boxes=False)) == 2


def test_repeats_are_told_by_the_area_of_the_padded_crop(people):
    """Released configs: twice as far apart as the area of the bare box would allow."""
    box = [100.0, 100.0, 60.0, 200.0]
    found = [{**people[0], "bbox": box, "box_score": score} for score in (0.5, 0.4)]
    sigma = np.array(COCO.sigmas).mean()
    # OKS well below 0.9 by the box's own area
    predictions = moved(perfect(found), 1, sigma * np.sqrt(60 * 200) * 0.9)
    tight = dataclasses.replace(SETTINGS, padding=0.6)
    assert len(to_coco_results(predictions, found, settings=SETTINGS, annotated_boxes=False)) == 1
    assert len(to_coco_results(predictions, found, settings=tight, annotated_boxes=False)) == 2


def test_annotated_people_are_never_thinned(people):
    twice = [{**people[0], "box_score": 0.5}] * 2  # a column that the data happens to have
    results = to_coco_results(perfect(twice), twice, settings=SETTINGS, annotated_boxes=True)
    assert len(results) == 2


def test_the_model_is_as_before(model, people):
    loader = DataLoader(PoseDataset(people, schema=COCO, settings=SETTINGS, augmentation=None), batch_size=4)
    predictor = PosePredictor(models=model, settings=SETTINGS, schema=COCO, flip_test=True)
    model.train()
    predictions = predict_people(predictor, loader, accelerator=Accelerator(cpu=True), detected=False)
    assert model.training
    model.eval()
    assert predictions.keypoints_xy.shape == (6, 17, 2)
    assert predictions.scores.shape == (6, 17)


def test_two_processes_predict_everyone_once(two_process_runs, make_recipe):
    # five people in batches of two on two processes: the last batches are filled up, and cut again
    folder = two_process_runs / "unbroken"
    together = json.loads((folder / "results.json").read_text())
    recipe = make_recipe(eval_people=5, eval_batch_size=5)
    alone = evaluate_model(str(folder), recipe)
    assert [result["image_id"] for result in together] == [result["image_id"] for result in alone.results]
    ours, theirs = (np.array([result["keypoints"] for result in found]) for found in (together, alone.results))
    assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.fixture
def saved_model(tmp_path, model) -> str:
    model.save_pretrained(tmp_path / "model")
    ViTPoseImageProcessor.from_settings(SETTINGS).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_data_of_other_keypoints_is_refused(saved_model, make_recipe, tmp_path):
    recipe = make_recipe(data="people", data_dir=str(tmp_path), schema="mpii", train_people=None, eval_people=None)
    with pytest.raises(ValueError, match=r"The model predicts 17 keypoints \(coco\), the data has 16 \(mpii\)"):
        evaluate_model(saved_model, recipe)


def coco_folder(root: Path, people: list[dict]) -> Path:
    """The people as a COCO folder with detector boxes: each once, one twice, one missed."""
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    content = to_coco_annotations(people, COCO)
    for image, person in zip(content["images"], people, strict=True):
        image["file_name"] = f"{image['id']}.png"
        Image.Image.save(person["image"], root / "val2017" / image["file_name"])
    (root / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    boxes = [
        {"image_id": person["image_id"], "category_id": 1, "bbox": list(person["bbox"]), "score": 0.9}
        for person in people[1:]
    ]
    repeated = {**boxes[0], "score": 0.3}
    no_person = {**boxes[0], "category_id": 3}
    (root / "boxes.json").write_text(json.dumps([*boxes, repeated, no_person]))
    return root


def test_detector_boxes_are_scored_against_everybody_annotated(saved_model, make_recipe, tmp_path, people):
    folder = coco_folder(tmp_path / "coco", people)
    fields = {"data": "coco", "data_dir": str(folder), "eval_split": "val2017", "eval_people": None}
    evaluation = evaluate_model(saved_model, make_recipe(**fields, eval_boxes=str(folder / "boxes.json")))
    # five boxes found; the repeated one gives the same pose; the first person was missed and counts
    assert sorted(result["image_id"] for result in evaluation.results) == [p["image_id"] for p in people[1:]]
    assert "AP" in evaluation.metrics
    assert "PCK" not in evaluation.metrics  # boxes of a detector have no annotation of their own
    found = perfect(people[1:])
    best = score(found, people[1:], to_coco_annotations(people, COCO), settings=SETTINGS, annotated_boxes=False)
    assert best.metrics["AR"] == pytest.approx(5 / 6)


def test_a_test_set_without_annotations_is_predicted_for_its_server(saved_model, make_recipe, tmp_path, people):
    """COCO's test-dev: a list of photos and a detector's boxes; its figures come from the server."""
    folder = coco_folder(tmp_path / "coco", people)
    content = json.loads((folder / "annotations" / "person_keypoints_val2017.json").read_text())
    del content["annotations"]
    (folder / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(content))
    (folder / "val2017").rename(folder / "test2017")
    fields = {"data": "coco", "data_dir": str(folder), "eval_split": "test-dev2017", "eval_people": None}
    recipe = make_recipe(**fields, eval_boxes=str(folder / "boxes.json"))
    report = report_model(saved_model, recipe, out=tmp_path / "out")
    assert report.evaluation.metrics["AP"] == -1
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sorted(result["image_id"] for result in results) == [person["image_id"] for person in people[1:]]


def test_a_checkpoint_in_half_precision_is_evaluated_in_float32(model, make_recipe, tmp_path):
    copy.deepcopy(model).bfloat16().save_pretrained(tmp_path / "half")
    ViTPoseImageProcessor.from_settings(SETTINGS).save_pretrained(tmp_path / "half")
    assert "AP" in evaluate_model(str(tmp_path / "half"), make_recipe()).metrics


def test_photos_of_sixteen_bits_are_drawn(saved_model, make_recipe, tmp_path):
    values = np.linspace(0, 65535, 80 * 60).reshape(80, 60).astype(np.uint16)
    data = io.BytesIO()
    Image.fromarray(values).save(data, format="PNG")
    row = {"image": {"bytes": data.getvalue(), "path": None}, "bbox": [5.0, 5.0, 40.0, 60.0]}
    (tmp_path / "deep").mkdir()
    Dataset.from_list([{**row, "keypoints": [[20.0, 30.0, 2.0]] * 17}]).to_parquet(tmp_path / "deep" / "val-0.parquet")
    recipe = make_recipe(data="people", data_dir=str(tmp_path / "deep"), schema="coco", eval_people=None)
    model = ViTPoseForPoseEstimation.from_pretrained(saved_model)
    accelerator = Accelerator(cpu=True)
    evaluator = Evaluator.build(recipe, accelerator, model.config, SETTINGS)
    draw_predictions(evaluator, evaluator(accelerator.prepare_model(model, evaluation_mode=True)), tmp_path / "p.png")
    assert np.asarray(Image.open(tmp_path / "p.png").convert("L")).std() > 10  # grey from black to white
