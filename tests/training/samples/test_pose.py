"""Samples of people: pixels and keypoints in one frame, repeatable in any worker, epoch and process."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from PIL import ExifTags, Image
from torch.utils.data import BatchSampler, DataLoader

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.processing.geometry_vitpose import sample_crops, transform_points
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.images_vitpose import to_rgb_tensor
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.data.images import ImageReadError, read_image_size
from vitpose.training.samples.crops import read_image
from vitpose.training.samples.loaders import EpochSampler
from vitpose.training.samples.pose import Augmentation, PoseDataset

COCO = get_keypoint_schema("coco")
LEFT_WRIST, RIGHT_WRIST = COCO.keypoints.index("left_wrist"), COCO.keypoints.index("right_wrist")
CROP_SIZE = (128, 96)
IMAGE_SIZE = (200, 160)  # width, height
WHOLE = Augmentation(flip_probability=0, rotation_probability=0, half_body_probability=0, scale=0.2)


def make_person(image: Image.Image | dict, *, keypoints: np.ndarray | None = None, person_id: int = 0) -> dict:
    keypoints = np.tile([100.0, 80.0, 2.0], (17, 1)) if keypoints is None else keypoints
    size = {"width": IMAGE_SIZE[0], "height": IMAGE_SIZE[1]}
    ids = {"image_id": 7, "person_id": person_id}
    return {"image": image, **ids, **size, "bbox": [60.0, 30.0, 80.0, 100.0], "keypoints": keypoints}


def photo(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (IMAGE_SIZE[1], IMAGE_SIZE[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def photos(count: int) -> list[dict]:
    return [make_person(photo(number), person_id=100 + number) for number in range(count)]


def make_dataset(people: list[dict], augmentation: Augmentation | None = None, **choices) -> PoseDataset:
    settings = ProcessorSettings(crop_size=CROP_SIZE, **{n: choices.pop(n) for n in list(choices) if n != "seed"})
    return PoseDataset(people, schema=COCO, settings=settings, augmentation=augmentation, **choices)


def dots(places: dict[tuple[float, float], int]) -> Image.Image:
    """A black picture with a soft dot around each place, in a colour channel of its own."""
    y, x = np.mgrid[: IMAGE_SIZE[1], : IMAGE_SIZE[0]]
    pixels = np.zeros((IMAGE_SIZE[1], IMAGE_SIZE[0], 3))
    for (dot_x, dot_y), channel in places.items():
        pixels[..., channel] = 255 * np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / 8)
    return Image.fromarray(pixels.round().astype(np.uint8))


def centre_of_mass(channel: torch.Tensor) -> list[float]:
    y, x = torch.meshgrid(*(torch.arange(length, dtype=torch.float32) for length in channel.shape), indexing="ij")
    return [((channel * axis).sum() / channel.sum()).item() for axis in (x, y)]


@pytest.mark.parametrize(
    "augmentation",
    [
        pytest.param(None, id="evaluation"),
        pytest.param(dataclasses.replace(WHOLE, rotation_probability=1), id="turned"),
        pytest.param(dataclasses.replace(WHOLE, flip_probability=1), id="mirrored"),
        pytest.param(dataclasses.replace(WHOLE, flip_probability=1, rotation_probability=1), id="mirrored and turned"),
    ],
)
def test_keypoints_lie_on_the_pixels_they_name(augmentation):
    left, right = (92.3, 71.8), (106.6, 85.4)
    keypoints = np.tile([100.0, 80.0, 2.0], (17, 1))
    keypoints[LEFT_WRIST, :2], keypoints[RIGHT_WRIST, :2] = left, right
    person = make_person(dots({left: 0, right: 2}), keypoints=keypoints)
    # A black image becomes 0 and a channel's values stay proportional to its dot.
    dataset = make_dataset([person], augmentation, image_mean=(0, 0, 0), image_std=(1, 1, 1))
    mirrored = augmentation is not None and augmentation.flip_probability == 1
    for epoch in range(5):
        sample = dataset[epoch, 0]
        # Mirrored, a left wrist looks like a right one.
        at_left, at_right = (RIGHT_WRIST, LEFT_WRIST) if mirrored else (LEFT_WRIST, RIGHT_WRIST)
        for channel, keypoint in ((0, at_left), (2, at_right)):
            found = centre_of_mass(sample["pixel_values"][channel])
            assert found == pytest.approx(sample["keypoints_crop"][keypoint].tolist(), abs=0.6)


def test_the_matrix_brings_keypoints_back_to_the_image():
    dataset = make_dataset(photos(1), Augmentation(flip_probability=0))
    sample = dataset[3, 0]
    back = transform_points(sample["keypoints_crop"].double()[None], sample["matrix"][None])
    assert back[0].allclose(torch.tensor([100.0, 80.0], dtype=torch.float64), atol=1e-4)


def test_pixels_are_normalised_and_the_crop_is_the_padded_box():
    person = make_person(Image.new("RGB", IMAGE_SIZE, (255, 0, 128)))
    sample = make_dataset([person])[0]
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert sample["pixel_values"][:, 64, 48].tolist() == pytest.approx(expected, abs=1e-6)
    assert sample["pixel_values"].shape == (3, *CROP_SIZE)
    corners = torch.tensor([[[0.0, 0.0], [CROP_SIZE[1] - 1, CROP_SIZE[0] - 1]]], dtype=torch.float64)
    first, last = transform_points(corners, sample["matrix"][None])[0]
    assert ((first + last) / 2).tolist() == pytest.approx([100.0, 80.0], rel=1e-6)
    assert (last - first).tolist() == pytest.approx([80 * 1.25, 80 * 1.25 * 128 / 96], rel=1e-6)  # the width decides
    assert (sample["index"], sample["image_id"], sample["person_id"]) == (0, 7, 0)


def test_without_augmentation_a_sample_is_what_the_image_processor_makes():
    person = make_person(photo(0))
    processor = ViTPoseImageProcessor(size={"height": CROP_SIZE[0], "width": CROP_SIZE[1]})
    expected = processor(person["image"], boxes=[[person["bbox"]]], return_tensors="pt")["pixel_values"]
    assert make_dataset([person])[0]["pixel_values"].allclose(expected[0], atol=1e-5)


def test_a_crop_of_a_part_of_the_photo_is_that_of_the_whole():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 800, 3), dtype=np.uint8))
    size = {"width": 800, "height": 1000}
    for bbox in ([300.0, 400.0, 80.0, 100.0], [-20.0, 930.0, 90.0, 120.0]):  # inside, and over the corner
        person = make_person(image) | size | {"bbox": bbox}
        dataset = make_dataset([person], Augmentation(shift_probability=0), image_mean=(0, 0, 0), image_std=(1, 1, 1))
        for epoch in range(4):
            sample = dataset[epoch, 0]
            whole = sample_crops(to_rgb_tensor(image), sample["matrix"][None], crop_size=CROP_SIZE)[0] / 255
            torch.testing.assert_close(sample["pixel_values"], whole, atol=1e-4, rtol=0)


def test_unlabelled_keypoints_are_zero_and_stay_with_their_side():
    keypoints = np.tile([100.0, 80.0, 2.0], (17, 1))
    keypoints[LEFT_WRIST] = 0
    person = make_person(photo(0), keypoints=keypoints)
    sample = make_dataset([person], Augmentation(flip_probability=1))[0]
    assert sample["visibility"][[LEFT_WRIST, RIGHT_WRIST]].tolist() == [2, 0]  # mirrored: the right one is unlabelled
    assert sample["keypoints_crop"][RIGHT_WRIST].tolist() == [0, 0]


def test_samples_are_equal_in_any_number_of_workers_and_differ_between_epochs():
    dataset = make_dataset(photos(10), Augmentation(), seed=3)

    def epochs(num_workers: int) -> list[dict[str, torch.Tensor]]:
        sampler = EpochSampler(len(dataset), seed=3)
        persistent = num_workers > 0
        loader = DataLoader(
            dataset, batch_size=4, sampler=sampler, num_workers=num_workers, persistent_workers=persistent
        )
        batches = []
        for epoch in range(2):
            sampler.set_epoch(epoch)  # workers that live on must hear of it
            batches += list(loader)
        return batches

    alone, together = epochs(0), epochs(2)
    assert len(alone) == len(together) == 6
    for expected, found in zip(alone, together, strict=True):
        assert expected.keys() == found.keys()
        assert all(expected[name].equal(found[name]) for name in expected)
    first, second = (torch.cat([batch["index"] for batch in part]) for part in (alone[:3], alone[3:]))
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert not dataset[0, 5]["pixel_values"].equal(dataset[1, 5]["pixel_values"])


def test_samples_do_not_depend_on_their_company():
    dataset = make_dataset(photos(4), Augmentation(), seed=3)
    keys = [(epoch, index) for epoch in range(4) for index in range(4)]
    for key, together in zip(keys, dataset.__getitems__(keys), strict=True):
        alone = dataset[key]
        assert alone.keys() == together.keys()
        torch.testing.assert_close(alone, together)  # kernels may round differently for one and for many


def test_without_augmentation_all_epochs_are_equal():
    dataset = make_dataset(photos(1))
    assert dataset[0]["pixel_values"].equal(dataset[9, 0]["pixel_values"])


def test_the_sampler_skips_to_the_tail_of_its_epoch_and_then_starts_whole():
    sampler = EpochSampler(11, seed=5)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.skip(4)
    assert (list(sampler), len(sampler)) == (whole[4:], 7)
    sampler.set_epoch(2)  # Accelerate repeats it when iteration begins
    assert list(sampler) == whole[4:]
    sampler.set_epoch(3)
    assert len(list(sampler)) == len(sampler) == 11
    assert {epoch for epoch, _ in sampler} == {3}


def test_the_sampler_fills_its_epoch_with_its_own_beginning():
    sampler = EpochSampler(5, seed=0, multiple=4)
    keys = list(sampler)
    assert len(keys) == len(sampler) == sampler.epoch_length == 8
    assert keys[5:] == keys[:3]


def test_two_processes_resume_with_the_batches_they_had_left():
    def batches(process: int, start: int) -> list[list[tuple[int, int]]]:
        sampler = EpochSampler(13, seed=0, multiple=2 * 3)
        sampler.skip(start)
        return list(BatchSamplerShard(BatchSampler(sampler, 3, drop_last=False), 2, process))

    for process in range(2):
        assert batches(process, start=2 * 3) == batches(process, start=0)[1:]


def test_epoch_and_skip_reach_the_sampler_through_accelerate():
    dataset = make_dataset(photos(6))
    sampler = EpochSampler(len(dataset), seed=1)
    loader = Accelerator(cpu=True).prepare(DataLoader(dataset, batch_size=2, sampler=sampler))
    loader.set_epoch(4)
    order = [index for _, index in sampler]
    sampler.skip(2)
    assert torch.cat([batch["index"] for batch in loader]).tolist() == order[2:]


def encoded(image: Image.Image, kind: str, length: int | None = None, **choices) -> dict:
    file = io.BytesIO()
    image.save(file, kind, **choices)
    return {"bytes": file.getvalue()[:length], "path": "im7.img"}


def test_an_image_is_turned_as_its_exif_orientation_says():
    upright = photo(0)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored lying on its side
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90), "WEBP", lossless=True, exif=exif)
    assert read_image_size(stored, row=0) == IMAGE_SIZE
    assert read_image(stored, row=0, size=IMAGE_SIZE).equal(read_image(upright, row=0, size=IMAGE_SIZE))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(encoded(photo(0), "JPEG", 3000), r"im7.img: row 0: .*truncated", id="cut short"),
        pytest.param({"bytes": b"no image", "path": "im7.img"}, r"im7.img: row 0: .*cannot identify", id="no image"),
        pytest.param({"bytes": None, "path": "/absent/a.jpg"}, r"/absent/a.jpg: row 0: .*No such file", id="absent"),
        pytest.param({"bytes": None, "path": None}, "row 0: .* 'path' or 'bytes' but both are None", id="nothing"),
        pytest.param("a.jpg", "expected a PIL image or a mapping .* got str", id="a bare path"),
        pytest.param(Image.new("RGB", (160, 200)), "expected 200x160 pixels .*, got 160x200", id="another size"),
    ],
)
def test_images_that_cannot_be_read_are_named(image, message):
    with pytest.raises(ImageReadError, match=message):
        make_dataset([make_person(image)])[0]


def test_a_damaged_image_stops_a_loader_with_workers_by_name():
    people = [*photos(3), make_person(encoded(photo(0), "JPEG", 3000))]
    with pytest.raises(ImageReadError, match=r"im7.img: row 3: "):
        list(DataLoader(make_dataset(people), batch_size=2, num_workers=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: make_dataset([make_person(photo(0), keypoints=np.zeros((14, 3)))])[0],
            r"Row 0 has keypoints of shape \(14, 3\), the schema 'coco' expects \(17, 3\)",
            id="another skeleton",
        ),
        pytest.param(lambda: EpochSampler(0, seed=0), "at least 1, got 0 and 1", id="no samples"),
        pytest.param(lambda: EpochSampler(5, seed=0).skip(6), "Cannot skip 6 .* 0 to 5", id="past the end"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mirroring_without_a_pair_is_told_before_training(caplog):
    unpaired = dataclasses.replace(COCO, name="mine", flip_pairs=())

    def start(schema, augmentation):
        caplog.clear()
        PoseDataset(photos(1), schema=schema, settings=ProcessorSettings(), augmentation=augmentation)
        return "LEFT AND RIGHT: training mirrors photos, and none of the 17 keypoints of 'mine'" in caplog.text

    assert start(unpaired, Augmentation())
    assert not start(unpaired, None) and not start(unpaired, Augmentation(flip_probability=0.0))
    for schema in (COCO, get_keypoint_schema("interhand2d"), dataclasses.replace(COCO, name="mine")):
        assert not start(schema, Augmentation()) and not caplog.text
    half = dataclasses.replace(COCO, name="mine", flip_pairs=COCO.flip_pairs[1:])
    start(half, Augmentation())
    assert "of 'mine' these have no other side: left_eye, right_eye" in caplog.text
