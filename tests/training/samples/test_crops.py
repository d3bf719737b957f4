"""Crops cut on the device that trains are those that workers cut, and come to the same run."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.processing.geometry_vitpose import crop_to_image_matrices, sample_crops, sample_ragged
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.samples import crops, loaders
from vitpose.training.samples.crops import CropCollator, materialize_crops
from vitpose.training.samples.pose import Augmentation, PoseDataset
from vitpose.training.session import run_recipe

COCO = get_keypoint_schema("coco")
CROP_SIZE = (64, 48)
KEYS = [(0, index) for index in range(6)]


def make_dataset(cut: bool, *, scale: float = 1.0, shift: float = 0.0) -> PoseDataset:
    """Six people, each in a photo of its own size, in boxes of some scale, shifted across the border."""
    rng, people = np.random.default_rng(0), []
    for number in range(6):
        width, height = 180 + 9 * number, 240 - 7 * number
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        row = {"image": photo, "width": width, "height": height, "image_id": number, "person_id": number}
        points = np.tile([40.0, 50.0, 2.0], (17, 1))
        people.append({**row, "bbox": [30 + shift, 40 + shift, 24 * scale, 36 * scale], "keypoints": points})
    augmentation = Augmentation(scale=0.2, rotation_probability=0.7)
    return PoseDataset(
        people, schema=COCO, settings=ProcessorSettings(crop_size=CROP_SIZE), augmentation=augmentation, cut=cut
    )


def collator(dataset: PoseDataset, *, on_device: bool) -> CropCollator:
    return CropCollator(settings=dataset.settings, on_device=on_device)


def crops_cut_on_device(dataset: PoseDataset) -> torch.Tensor:
    batch = collator(dataset, on_device=True)(dataset.__getitems__(KEYS))
    assert "pixel_values" not in batch
    return materialize_crops(batch, dataset.settings)["pixel_values"]


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param({}, id="inside the photos"),
        pytest.param({"shift": -35.0}, id="over the border"),
        pytest.param({"shift": 175.0}, id="some beyond the photos"),
    ],
)
def test_the_device_cuts_the_crops_that_workers_cut(boxes):
    expected = torch.stack([make_dataset(cut=True, **boxes)[key]["pixel_values"] for key in KEYS])
    found = crops_cut_on_device(make_dataset(cut=False, **boxes))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)  # of a range of about 4.5


def test_no_batch_for_a_device_holds_float64():
    """Apple's GPUs have none."""
    dataset = make_dataset(cut=False)
    batch = collator(dataset, on_device=True)(dataset.__getitems__(KEYS))
    assert {values.dtype for values in batch.values()} == {torch.float32, torch.uint8, torch.int64}


def test_workers_cut_for_a_cpu():
    expected = torch.stack([make_dataset(cut=True)[key]["pixel_values"] for key in KEYS])
    dataset = make_dataset(cut=False)
    (batch,) = DataLoader(dataset, batch_sampler=[KEYS], num_workers=1, collate_fn=collator(dataset, on_device=False))
    assert batch["pixel_values"].equal(expected)
    assert materialize_crops(batch, dataset.settings) is batch


@pytest.mark.parametrize(
    "boxes",
    [pytest.param({"scale": 8.0}, id="larger than the crops"), pytest.param({"shift": 900.0}, id="without a pixel")],
)
def test_workers_cut_for_a_gpu_what_is_not_worth_moving(boxes):
    dataset = make_dataset(cut=False, **boxes)
    batch = collator(dataset, on_device=True)(dataset.__getitems__(KEYS))
    assert batch["pixel_values"].shape == (6, 3, *CROP_SIZE)
    assert not any(name.startswith("region") for name in batch)


@pytest.mark.parametrize("degrees", [0.0, 30.0], ids=["straight", "turned"])
def test_a_sample_on_the_border_belongs_to_the_photo_and_one_outside_is_black(degrees):
    photo = torch.full((3, 40, 30), 200, dtype=torch.uint8)
    matrices = crop_to_image_matrices(
        torch.tensor([[14.5, 19.5]], dtype=torch.float64),
        torch.tensor([[2 * 29.0, 2 * 39.0]], dtype=torch.float64),
        crop_size=(157, 117),
        rotations=torch.tensor([degrees], dtype=torch.float64),
    )
    pixels, sizes = photo.permute(1, 2, 0).reshape(-1, 3), torch.tensor([photo.shape[1:]])
    found = sample_ragged(pixels, sizes, matrices.float(), crop_size=(157, 117))
    torch.testing.assert_close(found, sample_crops(photo, matrices, crop_size=(157, 117)), atol=1e-3, rtol=0)
    assert found.unique().tolist() == pytest.approx([0, 200])
    if not degrees:
        assert (found[0, 0] > 0).sum() == 79 * 59  # half a pixel apart, from first to last


def test_pixels_of_more_than_eight_bits_stay_what_they_are():
    values = np.linspace(0, 65535, 240 * 180).reshape(240, 180).astype(np.uint16)
    datasets = [make_dataset(cut) for cut in (True, False)]
    for dataset in datasets:
        dataset.people[0]["image"] = Image.fromarray(values)
    expected = torch.stack([datasets[0][key]["pixel_values"] for key in KEYS])
    torch.testing.assert_close(crops_cut_on_device(datasets[1]), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("task", ["pose", "masked_image_modeling"])
def test_a_run_is_the_same_wherever_its_crops_are_cut(make_recipe, read_log, write_people, monkeypatch, tmp_path, task):
    folder = write_people(tmp_path / "people", schema="lspet", train=6, val=3)
    lspet = {"data": "people", "data_dir": str(folder), "schema": "lspet", "train_people": None}
    recipe = {"task": task, "mixture": [lspet, {"data": "synthetic", "train_people": 8, "eval_people": 4}]}
    run_recipe(make_recipe(**recipe, output_dir=str(tmp_path / "workers")))
    cut = []

    def on_device(**choices) -> CropCollator:
        return CropCollator(**{**choices, "on_device": True})

    def counted(*arguments, **choices) -> torch.Tensor:
        cut.append(len(arguments[2]))
        return sample_ragged(*arguments, **choices)

    monkeypatch.setattr(loaders, "CropCollator", on_device)
    monkeypatch.setattr(CropCollator, "_saves_memory", lambda self, regions: True)  # people fill these photos
    monkeypatch.setattr(crops, "sample_ragged", counted)
    run_recipe(make_recipe(**recipe, output_dir=str(tmp_path / "device")))
    workers, device = (
        [line["loss"] for line in read_log(tmp_path / where) if "loss" in line] for where in ("workers", "device")
    )
    assert device == pytest.approx(workers, rel=1e-4)
    assert len(device) == 4
    assert sum(cut) >= 14 + 7  # those trained on and those evaluated
