"""The processor beside stock: the same crops, the same keypoints, the same folder; and its own promises."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from vitpose import ViTPoseImageProcessor

PHOTO = skimage.data.astronaut()  # 512 x 512 x 3 uint8
BOXES = [
    [100.0, 30.0, 250.0, 430.0],
    [-40.5, 300.25, 180.0, 90.0],
    [400.0, 380.0, 160.0, 200.0],
    [230.0, 70.0, 33.0, 47.0],
]


def random_people(num_people: int, num_keypoints: int, *, seed: int = 0) -> tuple[list[list[float]], np.ndarray]:
    """Boxes in the photo and visible keypoints well inside each one."""
    random = np.random.default_rng(seed)
    sides = random.uniform(40, 300, (num_people, 2))
    corners = random.uniform(-20, 512 - sides * 0.7)
    points = corners[:, None] + sides[:, None] * random.uniform(0.1, 0.9, (num_people, num_keypoints, 2))
    keypoints = np.concatenate([points, np.full((num_people, num_keypoints, 1), 2)], axis=-1)
    return np.concatenate([corners, sides], axis=1).tolist(), keypoints


def grey_levels(pixel_values: torch.Tensor) -> torch.Tensor:
    std = torch.tensor(ViTPoseImageProcessor.image_std)[:, None, None]
    return pixel_values * std * 255


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"size": {"height": 384, "width": 288}}, id="a larger crop"),
        pytest.param({"normalize_factor": 160.0}, id="another unit of box sides"),
        pytest.param({"do_normalize": False}, id="rescaled only"),
        pytest.param(
            {"do_rescale": False, "image_mean": (120, 110, 100), "image_std": (60, 60, 60)}, id="own statistics"
        ),
    ],
)
def test_crops_equal_stock_within_its_rounding(settings):
    ours = ViTPoseImageProcessor(**settings)(PHOTO, boxes=[BOXES]).pixel_values
    theirs = VitPoseImageProcessorPil(**settings)(PHOTO, boxes=[BOXES], return_tensors="pt").pixel_values
    spread = 1 if settings.get("do_rescale") is False else 255
    std = torch.tensor(settings.get("image_std", ViTPoseImageProcessor.image_std))[:, None, None]
    difference = (ours - theirs) * spread * (1 if settings.get("do_normalize") is False else std)
    assert ours.dtype == torch.float32
    assert difference.abs().max() <= 1  # grey levels, everywhere


def test_keypoints_equal_stock_along_the_whole_path():
    boxes, keypoints = random_people(12, 17)
    ours, theirs = ViTPoseImageProcessor(), VitPoseImageProcessorPil()
    outputs = SimpleNamespace(heatmaps=ours(PHOTO, boxes=[boxes], keypoints=[keypoints]).labels)
    expected = theirs.post_process_pose_estimation(outputs, boxes=[boxes])
    people = ours.post_process_pose_estimation(outputs, boxes=[boxes])
    for own, other in zip(people[0], expected[0], strict=True):
        torch.testing.assert_close(own["keypoints"], other["keypoints"], atol=1e-3, rtol=0)
        torch.testing.assert_close(own["scores"], other["scores"])
        assert own["labels"].tolist() == other["labels"].tolist()


@pytest.mark.parametrize("normalize_factor", [200.0, 160.0])
@pytest.mark.parametrize("size", [(256, 192), (384, 288), (256, 256)])
def test_the_way_back_undoes_the_way_in(size, normalize_factor):
    boxes, keypoints = random_people(20, 17, seed=1)
    processor = ViTPoseImageProcessor(size=size, normalize_factor=normalize_factor)
    batch = processor(PHOTO, boxes=[boxes], keypoints=[keypoints])
    people = processor.post_process_pose_estimation(SimpleNamespace(heatmaps=batch.labels), boxes=[boxes])
    assert batch.labels.shape == (20, 17, size[0] // 4, size[1] // 4)
    assert (batch.label_weights == 1).all()
    for person, points, box in zip(people[0], keypoints, boxes, strict=True):
        heatmap_pixel = max(box[2:]) * 1.25 * 200 / normalize_factor / (min(size) // 4 - 1)
        error = person["keypoints"].numpy() - points[:, :2]
        assert np.abs(error).max() < 0.03 * heatmap_pixel


def test_boxes_come_back_as_corners():
    batch = ViTPoseImageProcessor()(PHOTO, boxes=[[[10, 20, 100, 200]]], keypoints=[[[[60, 120, 2]]]])
    outputs = SimpleNamespace(heatmaps=batch.labels)
    (person,) = ViTPoseImageProcessor().post_process_pose_estimation(outputs, boxes=[[[10, 20, 100, 200]]])[0]
    assert person["bbox"].tolist() == [10, 20, 110, 220]
    assert person["scores"].shape == person["labels"].shape == (1,)  # one keypoint of one person keeps its axis


def test_several_images_keep_their_people_apart():
    small = Image.fromarray(PHOTO).resize((200, 100))
    boxes = [BOXES[:2], [], [[10, 10, 50, 80]]]
    processor = ViTPoseImageProcessor()
    pixel_values = processor([PHOTO, PHOTO, small], boxes=boxes).pixel_values
    torch.testing.assert_close(pixel_values[:2], processor(PHOTO, boxes=[BOXES[:2]]).pixel_values)
    torch.testing.assert_close(pixel_values[2:], processor(small, boxes=boxes[2:]).pixel_values)
    people = processor.post_process_pose_estimation(SimpleNamespace(heatmaps=torch.rand(3, 17, 64, 48)), boxes=boxes)
    assert [len(image) for image in people] == [2, 0, 1]


def test_nobody_anywhere():
    processor = ViTPoseImageProcessor()
    batch = processor([PHOTO, PHOTO], boxes=[[], []], keypoints=[[], np.zeros((0, 17, 3))])
    assert batch.pixel_values.shape == (0, 3, 256, 192)
    assert batch.labels.shape == (0, 17, 64, 48)
    outputs = SimpleNamespace(heatmaps=torch.zeros(0, 17, 64, 48))
    assert processor.post_process_pose_estimation(outputs, boxes=[[], []]) == [[], []]
    assert processor([], boxes=[], keypoints=[]).pixel_values.shape == (0, 3, 256, 192)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([np.array(BOXES)], id="list of arrays"),
        pytest.param(np.array([BOXES]), id="array"),
        pytest.param(torch.tensor([BOXES]), id="tensor"),
        pytest.param([[tuple(box) for box in BOXES]], id="tuples"),
        pytest.param([torch.tensor(BOXES, requires_grad=True)], id="a detector's output"),
        pytest.param([list(torch.tensor(BOXES))], id="list of tensors"),
    ],
)
def test_boxes_in_any_container(boxes):
    processor = ViTPoseImageProcessor()
    torch.testing.assert_close(
        processor(PHOTO, boxes=boxes).pixel_values, processor(PHOTO, boxes=[BOXES]).pixel_values, atol=1e-4, rtol=0
    )


def test_images_in_any_container():
    processor = ViTPoseImageProcessor()
    expected = processor(PHOTO, boxes=[BOXES]).pixel_values
    chw = torch.from_numpy(PHOTO).permute(2, 0, 1)
    for image in (Image.fromarray(PHOTO), [PHOTO], PHOTO[None], PHOTO.astype(np.float32), chw, chw.half()):
        torch.testing.assert_close(processor(image, boxes=[BOXES]).pixel_values, expected)
    rescaled = processor(chw / 255, boxes=[BOXES], do_rescale=False).pixel_values
    torch.testing.assert_close(rescaled, expected, atol=1e-5, rtol=1e-5)


def test_arrays_where_asked_for():
    batch = ViTPoseImageProcessor()(PHOTO, boxes=[BOXES], return_tensors="np")
    assert isinstance(batch.pixel_values, np.ndarray)
    with pytest.raises(ValueError, match="dtype: numpy has no torch.bfloat16: take torch.float32"):
        ViTPoseImageProcessor()(PHOTO, boxes=[BOXES], return_tensors="np", dtype=torch.bfloat16)


def outputs_with_scores(*scores: float) -> SimpleNamespace:
    heatmaps = torch.zeros(1, len(scores), 64, 48)
    heatmaps[0, :, 30, 20] = torch.tensor(scores)
    return SimpleNamespace(heatmaps=heatmaps)


def test_a_threshold_keeps_every_keypoint_in_its_place():
    outputs, processor = outputs_with_scores(0.9, 0.2, 0.5), ViTPoseImageProcessor()
    (plain,) = processor.post_process_pose_estimation(outputs, boxes=[BOXES[:1]])[0]
    (person,) = processor.post_process_pose_estimation(outputs, boxes=[BOXES[:1]], threshold=0.3)[0]
    assert person["scores"].tolist() == pytest.approx([0.9, 0, 0.5])
    assert person["labels"].tolist() == [0, 1, 2]
    torch.testing.assert_close(person["keypoints"], plain["keypoints"])


def test_dropping_below_the_threshold_is_what_stock_does():
    outputs = outputs_with_scores(0.9, 0.2, 0.5)
    (person,) = ViTPoseImageProcessor().post_process_pose_estimation(
        outputs, boxes=[BOXES[:1]], threshold=0.3, drop_below_threshold=True
    )[0]
    (expected,) = VitPoseImageProcessorPil().post_process_pose_estimation(outputs, boxes=[BOXES[:1]], threshold=0.3)[0]
    for name in ("keypoints", "scores", "labels"):
        torch.testing.assert_close(person[name], expected[name])


def test_target_sizes_are_height_and_width_of_each_image():
    processor, outputs = ViTPoseImageProcessor(), SimpleNamespace(heatmaps=torch.rand(3, 5, 64, 48))
    pixels = [[[10, 20, 100, 200], [30, 40, 50, 60]], [[64, 32, 16, 8]]]
    fractions = [[[0.025, 0.1, 0.25, 1.0], [0.075, 0.2, 0.125, 0.3]], [[0.5, 0.5, 0.125, 0.125]]]
    expected = processor.post_process_pose_estimation(outputs, boxes=pixels)
    people = processor.post_process_pose_estimation(outputs, boxes=fractions, target_sizes=[(200, 400), (64, 128)])
    for own, other in zip(sum(people, []), sum(expected, []), strict=True):
        torch.testing.assert_close(own["keypoints"], other["keypoints"])
        torch.testing.assert_close(own["bbox"], other["bbox"])


def test_the_blur_is_a_setting_of_processor_and_call():
    outputs = SimpleNamespace(heatmaps=torch.rand(1, 17, 64, 48, generator=torch.Generator().manual_seed(0)))

    def keypoints(processor: ViTPoseImageProcessor, **options) -> torch.Tensor:
        return processor.post_process_pose_estimation(outputs, boxes=[BOXES[:1]], **options)[0][0]["keypoints"]

    wide = keypoints(ViTPoseImageProcessor(dark_sigma=2.0))
    torch.testing.assert_close(keypoints(ViTPoseImageProcessor(), dark_sigma=2.0), wide)
    assert not torch.equal(keypoints(ViTPoseImageProcessor()), wide)


def test_the_saved_file_is_stock_s_own(tmp_path):
    settings = {"size": {"height": 384, "width": 288}, "image_mean": [0.5, 0.5, 0.5]}
    ViTPoseImageProcessor(**settings).save_pretrained(tmp_path / "ours")
    VitPoseImageProcessorPil(**settings).save_pretrained(tmp_path / "stock")
    ours, theirs = ((tmp_path / name / "preprocessor_config.json").read_text() for name in ("ours", "stock"))
    assert ours == theirs


def test_stock_folders_load_here(tmp_path):
    VitPoseImageProcessorPil(size={"height": 128, "width": 96}).save_pretrained(tmp_path)
    processor = ViTPoseImageProcessor.from_pretrained(tmp_path, dark_sigma=2.0)
    assert dict(processor.size) == {"height": 128, "width": 96}
    assert processor.dark_sigma == 2.0


def test_folders_of_earlier_stock_versions_load_here(tmp_path):
    unset = dict.fromkeys(("crop_size", "do_resize", "do_center_crop", "resample", "input_data_format", "device"))
    without_effect = {"data_format": "channels_first", "default_to_square": True, "do_convert_rgb": True}
    saved = ViTPoseImageProcessor().to_dict() | unset | without_effect
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved))
    loaded = ViTPoseImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == ViTPoseImageProcessor().to_dict() | without_effect


def test_an_own_blur_survives_saving_and_does_not_disturb_stock(tmp_path):
    ViTPoseImageProcessor(dark_sigma=2.0).save_pretrained(tmp_path)
    assert ViTPoseImageProcessor.from_pretrained(tmp_path).dark_sigma == 2.0
    stock = type(AutoImageProcessor.from_pretrained(tmp_path))  # of one backend or the other, as torchvision is there
    assert stock.__module__.startswith("transformers.models.vitpose.image_processing")


WITHOUT_VITPOSE = """
import sys
sys.modules["vitpose"] = None
import numpy as np, torch
from types import SimpleNamespace
from transformers import AutoImageProcessor
folder = sys.argv[1]
given = np.load(folder + "/given.npz")
processor = AutoImageProcessor.from_pretrained(folder)
boxes = [given["boxes"].tolist()]
crops = processor(given["photo"], boxes=boxes, return_tensors="pt").pixel_values
outputs = SimpleNamespace(heatmaps=torch.from_numpy(given["heatmaps"]))
people = processor.post_process_pose_estimation(outputs, boxes=boxes)[0]
keypoints = torch.stack([person["keypoints"] for person in people])
np.savez(folder + "/result.npz", kind=type(processor).__name__, crops=crops.numpy(), keypoints=keypoints.numpy())
"""


def test_a_process_without_vitpose_does_the_same(tmp_path):
    boxes, keypoints = random_people(4, 17, seed=2)
    processor = ViTPoseImageProcessor()
    processor.save_pretrained(tmp_path)
    batch = processor(PHOTO, boxes=[boxes], keypoints=[keypoints])
    np.savez(tmp_path / "given.npz", photo=PHOTO, boxes=boxes, heatmaps=batch.labels.numpy())
    subprocess.run([sys.executable, "-c", WITHOUT_VITPOSE, str(tmp_path)], check=True)
    result = np.load(tmp_path / "result.npz")
    people = processor.post_process_pose_estimation(SimpleNamespace(heatmaps=batch.labels), boxes=[boxes])[0]
    own = np.stack([person["keypoints"].numpy() for person in people])
    assert str(result["kind"]).startswith("VitPoseImageProcessor")
    assert grey_levels(torch.from_numpy(result["crops"]) - batch.pixel_values).abs().max() <= 1
    np.testing.assert_allclose(result["keypoints"], own, atol=1e-3)


def test_targets_fit_a_model_of_another_stride(tmp_path: Path) -> None:
    """The tiny preset halves the patch: its heatmaps have half the crop's size, and the saved processor knows."""
    ViTPoseImageProcessor(size={"height": 128, "width": 96}, heatmap_stride=2).save_pretrained(tmp_path)
    processor = ViTPoseImageProcessor.from_pretrained(tmp_path)
    image = np.zeros((100, 80, 3), dtype=np.uint8)
    batch = processor(image, boxes=[[[10, 10, 40, 60]]], keypoints=[[[[30, 40, 2]] * 17]], return_tensors="pt")
    assert batch["labels"].shape == (1, 17, 64, 48)


def test_without_udp_the_whole_path_errs_by_half_a_heatmap_pixel_at_most():
    boxes, keypoints = random_people(20, 17, seed=3)
    processor = ViTPoseImageProcessor(use_udp=False)
    labels = processor(PHOTO, boxes=[boxes], keypoints=[keypoints]).labels
    people = processor.post_process_pose_estimation(labels, boxes=[boxes])[0]
    for person, points, box in zip(people, keypoints, boxes, strict=True):
        heatmap_pixel = max(box[2] / 48, box[3] / 64) * 1.25
        error = np.abs(person["keypoints"].numpy() - points[:, :2]).max()
        assert 0.2 * heatmap_pixel < error <= 0.5001 * heatmap_pixel


def test_without_udp_the_middle_of_the_box_is_half_the_size(tmp_path):
    """Column w / 2 of the crop shows the box's centre; with UDP it is (w - 1) / 2."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.float32), (200, 200))
    settings = {"do_rescale": False, "do_normalize": False}
    old = ViTPoseImageProcessor(use_udp=False, **settings)(ramp, boxes=[[[40, 40, 60, 80]]]).pixel_values
    new = ViTPoseImageProcessor(**settings)(ramp, boxes=[[[40, 40, 60, 80]]]).pixel_values
    assert old[0, 0, 128, 96].item() == pytest.approx(70, abs=1e-3)
    assert new[0, 0, 128, 95:97].mean().item() == pytest.approx(70, abs=1e-3)


def test_a_folder_without_udp_is_ours_alone(tmp_path):
    ViTPoseImageProcessor(use_udp=False).save_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert isinstance(processor, ViTPoseImageProcessor)
    assert processor.use_udp is False
    script = "import sys; from transformers import AutoImageProcessor; AutoImageProcessor.from_pretrained(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode != 0
    assert "Unrecognized image processor" in result.stderr


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_crops_in_the_models_own_type(dtype):
    processor = ViTPoseImageProcessor()
    crops = processor([PHOTO, PHOTO], boxes=[BOXES, []], dtype=dtype).pixel_values
    assert crops.dtype == dtype
    torch.testing.assert_close(crops, processor(PHOTO, boxes=[BOXES]).pixel_values.to(dtype))
    assert processor(PHOTO, boxes=[[]], dtype=dtype).pixel_values.dtype == dtype


def test_a_type_that_crops_cannot_have():
    with pytest.raises(TypeError, match=r"a floating type of torch, such as torch.bfloat16, got torch.uint8"):
        ViTPoseImageProcessor()(PHOTO, boxes=[BOXES], dtype=torch.uint8)


def test_heatmaps_alone_are_enough():
    maps = torch.rand(1, 17, 64, 48, generator=torch.Generator().manual_seed(0))
    (ours,) = ViTPoseImageProcessor().post_process_pose_estimation(maps, boxes=[[BOXES[0]]])[0]
    (same,) = ViTPoseImageProcessor().post_process_pose_estimation(SimpleNamespace(heatmaps=maps), boxes=[[BOXES[0]]])[
        0
    ]
    torch.testing.assert_close(ours["keypoints"], same["keypoints"])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_photo_is_converted_only_where_its_people_are(mode, monkeypatch):
    """The crops are those of the whole photo; for one small person little of it is converted."""
    photo = Image.fromarray(PHOTO).convert(mode)
    boxes = [[300.5, 20.25, 40.0, 60.0]]
    whole = ViTPoseImageProcessor()(np.array(photo.convert("RGB")), boxes=[boxes]).pixel_values
    converted = []
    tobytes = Image.Image.tobytes
    monkeypatch.setattr(
        Image.Image, "tobytes", lambda self, *given: converted.append(self.size) or tobytes(self, *given)
    )
    torch.testing.assert_close(ViTPoseImageProcessor()(photo, boxes=[boxes]).pixel_values, whole, atol=2e-4, rtol=0)
    assert all(width < 100 and height < 100 for width, height in converted[-1:])


def test_a_photo_of_a_file_with_people_at_its_borders(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    for boxes in ([[-30.0, -20.0, 90.0, 110.0]], [[450.0, 440.0, 100.0, 120.0]], BOXES):
        expected = ViTPoseImageProcessor()(PHOTO, boxes=[boxes]).pixel_values
        found = ViTPoseImageProcessor()(str(tmp_path / "photo.png"), boxes=[boxes]).pixel_values
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


TAKEN = [
    {"do_convert_rgb": True},
    {"do_convert_rgb": False},
    {"do_resize": True, "resample": Image.Resampling.BILINEAR},
    {"do_resize": False, "default_to_square": True},
    {"disable_grouping": True},
    {"data_format": "channels_first", "return_tensors": "pt"},
    {"do_center_crop": False, "do_pad": False},
    dict.fromkeys(("crop_size", "pad_size", "do_pad", "resample", "image_seq_length", "device", "input_data_format")),
]


@pytest.mark.parametrize("settings", TAKEN, ids=lambda settings: ", ".join(settings))
def test_settings_of_stock_that_say_what_becomes_of_crops_anyway_are_taken(settings, tmp_path):
    expected = ViTPoseImageProcessor()(PHOTO, boxes=[BOXES]).pixel_values
    stock = VitPoseImageProcessorPil()(PHOTO, boxes=[BOXES], **{"return_tensors": "pt"} | settings)
    assert (stock.pixel_values - expected).abs().max() < 0.02  # a gray level: it rounds
    ViTPoseImageProcessor().save_pretrained(tmp_path)
    for made, given in (
        (ViTPoseImageProcessor(**settings), {}),
        (ViTPoseImageProcessor.from_pretrained(tmp_path, **settings), {}),
        (ViTPoseImageProcessor(), settings),
    ):
        torch.testing.assert_close(made(PHOTO, boxes=[BOXES], **given).pixel_values, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_center_crop": True}, "do_center_crop: expected None or False, as boxes say what is cut out, got True"),
        ({"crop_size": {"height": 8, "width": 8}}, "crop_size: expected None, as the setting size is"),
        ({"do_pad": True}, "do_pad: expected None or False, as all crops have one size"),
        ({"resample": Image.Resampling.BICUBIC}, "resample: expected None or 'bilinear', as crops are sampled"),
        ({"image_seq_length": 5}, "image_seq_length: expected None, as there is no text"),
    ],
)
def test_settings_of_stock_that_cannot_be_honored_are_refused_with_the_reason(settings, message, tmp_path):
    ViTPoseImageProcessor().save_pretrained(tmp_path)
    for give in (
        lambda: ViTPoseImageProcessor(**settings),
        lambda: ViTPoseImageProcessor.from_pretrained(tmp_path, **settings),
        lambda: ViTPoseImageProcessor()(PHOTO, boxes=[BOXES], **settings),
    ):
        with pytest.raises(ValueError, match=message):
            give()


def test_a_folder_that_sets_them_loads_and_tells(tmp_path, caplog):
    saved = ViTPoseImageProcessor().to_dict() | {"do_center_crop": True, "do_convert_rgb": True, "do_pad": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved))
    processor = ViTPoseImageProcessor.from_pretrained(tmp_path)
    assert "does not know do_center_crop = True, which the folder sets" in caplog.text
    assert processor.to_dict().items() >= {"do_center_crop": True, "do_convert_rgb": True}.items()


@pytest.mark.parametrize("return_tensors", ["pt", "np"])
def test_crops_with_the_channels_last(return_tensors):
    processor = ViTPoseImageProcessor()
    first = processor(PHOTO, boxes=[BOXES], return_tensors=return_tensors).pixel_values
    last = processor(PHOTO, boxes=[BOXES], return_tensors=return_tensors, data_format="channels_last").pixel_values
    assert last.shape == (len(BOXES), 256, 192, 3)
    np.testing.assert_array_equal(np.asarray(last), np.moveaxis(np.asarray(first), 1, -1))
    with pytest.raises(ValueError, match="channels_between"):
        processor(PHOTO, boxes=[BOXES], data_format="channels_between")


def test_a_call_may_repeat_what_the_processor_is_set_to():
    processor = ViTPoseImageProcessor(size={"height": 64, "width": 48}, normalize_factor=150.0)
    same = {
        "size": {"height": 64, "width": 48},
        "normalize_factor": 150.0,
        "do_affine_transform": True,
        "use_udp": True,
    }
    expected = processor(PHOTO, boxes=[BOXES]).pixel_values
    for name, value in same.items():
        torch.testing.assert_close(processor(PHOTO, boxes=[BOXES], **{name: value}).pixel_values, expected)
    torch.testing.assert_close(processor(PHOTO, boxes=[BOXES], size=(64, 48)).pixel_values, expected)
