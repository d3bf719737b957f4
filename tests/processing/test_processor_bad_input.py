"""Every mistake that the stock processor lets pass, or answers with something obscure, has a message of its own."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose import ViTPoseImageProcessor

PHOTO = Image.new("RGB", (100, 80))
BOX = [10.0, 10.0, 30.0, 40.0]
KEYPOINTS = [[[20.0, 20.0, 2.0]] * 17]  # one person
NAN = math.nan


@pytest.mark.parametrize(
    ("images", "boxes", "error", "message"),
    [
        pytest.param([PHOTO] * 2, [[BOX]], ValueError, "got 1 entries for 2 images", id="fewer box lists than images"),
        pytest.param(PHOTO, [[BOX], [BOX]], ValueError, "got 2 entries for 1 images", id="more box lists than images"),
        pytest.param(PHOTO, [BOX], ValueError, r"boxes\[0\].*single row of 4 numbers.*wrap it", id="un-nested boxes"),
        pytest.param(PHOTO, [[BOX + [0.9]]], ValueError, r"shape \(1, 5\): leave scores", id="boxes of 5 numbers"),
        pytest.param(PHOTO, [[BOX, [1, 2]]], ValueError, r"boxes\[0\].*equal length", id="ragged boxes"),
        pytest.param(PHOTO, [[["a", 1, 2, 3]]], ValueError, r"boxes\[0\] must hold rows of numbers", id="text"),
        pytest.param(PHOTO, None, TypeError, "a list with one entry an image, got NoneType", id="no boxes at all"),
        pytest.param(PHOTO, [[BOX, [5, 5, 0, 9]]], ValueError, r"boxes\[0\]\[1\].*above 0", id="no width"),
        pytest.param(PHOTO, [[[5, 5, 9, 0]]], ValueError, r"boxes\[0\]\[0\].*above 0", id="no height"),
        pytest.param(PHOTO, [[[5, 5, -9, 9]]], ValueError, r"above 0, got \[5.0, 5.0, -9.0, 9.0\]", id="negative"),
        pytest.param(PHOTO, [[[NAN, 5, 9, 9]]], ValueError, r"boxes\[0\]\[0\] must be finite", id="NaN"),
        pytest.param(PHOTO, [[[5, 5, math.inf, 9]]], ValueError, "must be finite", id="infinite"),
        pytest.param(
            PHOTO, [[[100, 5, 9, 9]]], ValueError, "wholly outside the image .height 80, width 100", id="right"
        ),
        pytest.param(PHOTO, [[[5, -20, 9, 20]]], ValueError, "wholly outside the image", id="above the image"),
        pytest.param(PHOTO, [[[1e9, 1e9, 9, 9]]], ValueError, "wholly outside the image", id="absurdly far"),
        pytest.param(PHOTO, [[[-1e9, 0, 2e9, 9]]], ValueError, "falls between two crop pixels", id="absurdly large"),
        pytest.param([[PHOTO]], [[BOX]], TypeError, r"images\[0\] is a list: flatten", id="nested images"),
        pytest.param([PHOTO, 7], [[BOX]] * 2, TypeError, r"images\[1\]: an image must be a path", id="no image"),
        pytest.param(np.full((80, 100, 3), 0.5), [[BOX]], ValueError, "pass do_rescale=False", id="floats in 0..1"),
    ],
)
def test_bad_images_and_boxes(images, boxes, error, message):
    with pytest.raises(error, match=message):
        ViTPoseImageProcessor()(images, boxes=boxes)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        pytest.param([], "keypoints must have one entry an image: got 0 entries for 1 images", id="no entry"),
        pytest.param([KEYPOINTS[0]], r"shape \(people, keypoints, 3\).*got shape \(17, 3\)", id="un-nested"),
        pytest.param([KEYPOINTS * 2], r"one entry for each of its 1 boxes", id="more people than boxes"),
        pytest.param([[]], r"one entry for each of its 1 boxes, got shape \(0,\)", id="fewer people than boxes"),
        pytest.param([np.zeros((1, 17, 2))], r"with \[x, y, visibility\].*got shape \(1, 17, 2\)", id="no visibility"),
        pytest.param([[[[5, 5, 2], [NAN, 5, 1]]]], r"keypoints\[0\]\[0\]\[1\] must be finite", id="labelled NaN"),
        pytest.param(
            [[[[5, 5, -1]]]], r"visibility 0 \(not labelled\), 1 .* got \[5.0, 5.0, -1.0\]", id="negative flag"
        ),
    ],
)
def test_bad_keypoints(keypoints, message):
    with pytest.raises(ValueError, match=message):
        ViTPoseImageProcessor()(PHOTO, boxes=[[BOX]], keypoints=keypoints)


def test_people_of_different_schemas_in_one_batch():
    with pytest.raises(ValueError, match=r"one count for all people of a batch, got \[16, 17\]"):
        ViTPoseImageProcessor()([PHOTO] * 2, boxes=[[BOX]] * 2, keypoints=[np.zeros((1, 16, 3)), np.zeros((1, 17, 3))])


def maps(num_people: int, *, num_keypoints: int = 17) -> SimpleNamespace:
    return SimpleNamespace(heatmaps=torch.rand(num_people, num_keypoints, 64, 48))


def broken_maps() -> SimpleNamespace:
    outputs = maps(2)
    outputs.heatmaps[1, 3, 5, 5] = NAN
    return outputs


@pytest.mark.parametrize(
    ("outputs", "options", "error", "message"),
    [
        pytest.param(maps(1), {}, ValueError, "got 2 boxes for 1 people", id="more boxes than maps"),
        pytest.param(maps(3), {}, ValueError, "got 2 boxes for 3 people", id="fewer boxes than maps"),
        pytest.param(maps(0), {}, ValueError, "got 2 boxes for 0 people", id="no maps"),
        pytest.param(broken_maps(), {}, ValueError, r"people \[1\] hold NaN", id="NaN"),
        pytest.param({"heatmaps": 1}, {}, TypeError, "a tensor of heatmaps, .* got dict", id="no model's output"),
        pytest.param(maps(2), {"kernel_size": 10}, ValueError, "must be odd and positive, got 10", id="even kernel"),
        pytest.param(maps(2), {"dark_sigma": -1.0}, ValueError, "positive number", id="negative blur"),
        pytest.param(maps(2), {"drop_below_threshold": True}, ValueError, "needs a threshold", id="drop below what"),
        pytest.param(
            maps(2), {"target_sizes": [(80, 100)] * 2}, ValueError, "each of the 1 images", id="sizes per person"
        ),
        pytest.param(maps(2), {"target_sizes": [(0, 100)]}, ValueError, "one positive .height, width.", id="no height"),
    ],
)
def test_bad_post_processing(outputs, options, error, message):
    with pytest.raises(error, match=message):
        ViTPoseImageProcessor().post_process_pose_estimation(outputs, boxes=[[BOX, BOX]], **options)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        pytest.param({"dark_sgima": 2.0}, TypeError, "got 'dark_sgima'. Did you mean 'dark_sigma'", id="a typo"),
        pytest.param({"do_center_crop": True}, ValueError, "expected None or False, as boxes say", id="another crop"),
        pytest.param({"pad_size": 300}, ValueError, "pad_size: expected None, as all crops have one size", id="a rim"),
        pytest.param({"resample": 3}, ValueError, "resample: .* sampled bilinearly, got 3", id="another sampling"),
        pytest.param({"data_format": "channels_last"}, ValueError, "a single call may give channels_last", id="layout"),
        pytest.param({"device": "cpu"}, ValueError, "device: expected None, as it belongs in the call", id="a device"),
        pytest.param({"size": {"shortest_edge": 256}}, ValueError, "a height and a width", id="no height"),
        pytest.param({"size": (1, 192)}, ValueError, "at least 2 pixels", id="a crop of one row"),
        pytest.param({"do_affine_transform": False}, ValueError, "do_affine_transform must be True", id="no crops"),
        pytest.param({"image_std": (0.2, 0.0, 0.2)}, ValueError, "image_std must be one number or three", id="std 0"),
        pytest.param({"image_mean": (0.5, 0.5)}, ValueError, "image_mean must be one number or three", id="two means"),
        pytest.param({"normalize_factor": -200.0}, ValueError, "normalize_factor must be a positive", id="negative"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        ViTPoseImageProcessor(**settings)


@pytest.mark.parametrize("settings", [{"size": {"height": 64, "width": 48}}, {"normalize_factor": 100.0}])
def test_what_post_processing_must_know_cannot_change_in_one_call(settings):
    with pytest.raises(ValueError, match=r"cannot change in a single call.*ViTPoseImageProcessor\(\w+=\.\.\.\)"):
        ViTPoseImageProcessor()(PHOTO, boxes=[[BOX]], **settings)


def test_a_typo_in_a_call_is_named():
    with pytest.raises(TypeError, match="got 'do_normalise'. Did you mean 'do_normalize'"):
        ViTPoseImageProcessor()(PHOTO, boxes=[[BOX]], do_normalise=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_in_a_graph_are_no_mistake(dtype):
    outputs = SimpleNamespace(heatmaps=torch.rand(1, 17, 64, 48, dtype=dtype, requires_grad=True))
    (person,) = ViTPoseImageProcessor().post_process_pose_estimation(outputs, boxes=[[BOX]])[0]
    assert person["keypoints"].dtype == torch.float32


def test_maps_without_a_peak_stay_in_the_box():
    outputs = SimpleNamespace(heatmaps=-torch.rand(2, 17, 64, 48))
    for person in ViTPoseImageProcessor().post_process_pose_estimation(outputs, boxes=[[BOX, BOX]])[0]:
        assert (person["scores"] == 0).all()
        torch.testing.assert_close(person["keypoints"], torch.tensor([[25.0, 30.0]]).expand(17, -1))


def test_one_keypoint_of_several_people():
    people = ViTPoseImageProcessor().post_process_pose_estimation(maps(2, num_keypoints=1), boxes=[[BOX, BOX]])[0]
    assert [tuple(person["keypoints"].shape) for person in people] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("size", [(1, 1), (3, 100), (100, 2)])
def test_tiny_images_are_no_mistake(size):
    pixel_values = ViTPoseImageProcessor()(Image.new("RGB", size), boxes=[[[0, 0, *size]]]).pixel_values
    assert pixel_values.shape == (1, 3, 256, 192)
