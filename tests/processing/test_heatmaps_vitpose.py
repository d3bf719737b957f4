"""Targets against a plain loop, decoding against the stock implementation, and one as the inverse of the other."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from transformers.models.vitpose import image_processing_pil_vitpose as stock

from vitpose.modeling.flipping_vitpose import flip_heatmaps
from vitpose.processing.heatmaps_vitpose import (
    _blur_around,
    decode_heatmaps,
    decode_heatmaps_quarter_offset,
    encode_heatmaps,
)

CROP_SIZE, HEATMAP_SIZE = (256, 192), (64, 48)
CROP_STEPS, HEATMAP_STEPS = torch.tensor([191.0, 255.0]), torch.tensor([47.0, 63.0])


def random_keypoints(num_people: int, num_keypoints: int, *, margin: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Points in heatmap pixels, at least `margin` away from the map's border (negative: outside it)."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(num_people, num_keypoints, 2, generator=generator)
    return margin + unit * (HEATMAP_STEPS - 2 * margin)


def encode(points_heatmap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    points_crop = points_heatmap * CROP_STEPS / HEATMAP_STEPS
    visible = torch.full(points_heatmap.shape[:2], 2)
    return encode_heatmaps(points_crop, visible, crop_size=CROP_SIZE, heatmap_size=HEATMAP_SIZE)


def test_targets_equal_a_plain_loop():
    points = random_keypoints(6, 9, margin=-10.0).double()
    visibility = torch.randint(0, 3, (6, 9), generator=torch.Generator().manual_seed(1))
    labels, weights = encode_heatmaps(
        points * CROP_STEPS / HEATMAP_STEPS, visibility, crop_size=CROP_SIZE, heatmap_size=HEATMAP_SIZE
    )
    for person, keypoint in np.ndindex(6, 9):
        x, y = points[person, keypoint].tolist()
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        expected, weight = np.zeros(HEATMAP_SIZE), 0.0
        if visibility[person, keypoint] > 0:
            for i in range(max(0, row - 6), min(64, row + 7)):
                for j in range(max(0, column - 6), min(48, column + 7)):
                    expected[i, j] = math.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * 2.0**2))
                    weight = 1.0
        np.testing.assert_allclose(labels[person, keypoint].numpy(), expected, atol=1e-6)
        assert weights[person, keypoint] == weight


@pytest.mark.parametrize(
    ("point", "visibility", "weight"),
    [
        pytest.param((20.0, 30.0), 2, 1.0, id="visible"),
        pytest.param((20.0, 30.0), 1, 1.0, id="hidden ones count too"),
        pytest.param((20.0, 30.0), 0, 0.0, id="not labelled"),
        pytest.param((math.nan, math.nan), 0, 0.0, id="not labelled, without coordinates"),
        pytest.param((-6.4, 30.0), 2, 1.0, id="the support just reaches the map"),
        pytest.param((-6.6, 30.0), 2, 0.0, id="the support just misses the map"),
        pytest.param((20.0, 69.4), 2, 1.0, id="the support just reaches the map from below"),
        pytest.param((20.0, 69.6), 2, 0.0, id="the support just misses the map from below"),
    ],
)
def test_weights_follow_label_and_support(point, visibility, weight):
    points = torch.tensor([[point]]) * CROP_STEPS / HEATMAP_STEPS
    labels, weights = encode_heatmaps(
        points, torch.tensor([[visibility]]), crop_size=CROP_SIZE, heatmap_size=HEATMAP_SIZE
    )
    assert weights.tolist() == [[weight]]
    assert labels.isfinite().all()
    assert bool(labels.any()) == bool(weight)
    assert labels.dtype == weights.dtype == torch.float32


@pytest.mark.parametrize("blur_sigma", [0.8, 2.0])
@pytest.mark.parametrize("margin", [0.0, 4.0], ids=["up to the border", "further inside"])
def test_decoding_undoes_encoding(margin, blur_sigma):
    points = random_keypoints(200, 17, margin=margin)
    decoded, scores = decode_heatmaps(encode(points)[0], blur_sigma=blur_sigma)
    assert (decoded - points).abs().max() < 0.002
    assert ((scores > 0.9) & (scores <= 1)).all()


@pytest.mark.parametrize("peak", [0.1, 1.5, 40.0])
def test_the_height_of_a_map_moves_no_keypoint(peak):
    points = random_keypoints(50, 17, margin=6.5)
    heatmaps = encode(points)[0]
    decoded, scores = decode_heatmaps(peak * heatmaps, blur_sigma=2.0)
    assert (decoded - points).abs().max() < 0.002
    torch.testing.assert_close(scores, peak * heatmaps.amax((-2, -1)))


def test_a_keypoint_just_outside_the_map_is_found_at_most_a_pixel_outside():
    points = torch.tensor([[[-0.7, 30.0], [20.0, 63.9], [-3.0, 66.0]]])
    decoded, _ = decode_heatmaps(encode(points)[0], blur_sigma=0.8)
    expected = torch.tensor([[[-0.7, 30.0], [20.0, 63.9], [-1.0, 64.0]]])
    torch.testing.assert_close(decoded, expected, atol=0.02, rtol=0)


def test_decoding_equals_stock_on_gaussian_maps():
    heatmaps, _ = encode(random_keypoints(40, 17, margin=6.5))  # nearer to the border stock reflects the map
    peaks, expected_scores = stock.get_keypoint_predictions(heatmaps.numpy())
    expected = stock.post_dark_unbiased_data_processing(peaks, heatmaps.numpy(), kernel=11)
    decoded, scores = decode_heatmaps(heatmaps, blur_sigma=0.8)
    np.testing.assert_allclose(decoded.numpy(), expected, atol=1e-3)
    np.testing.assert_array_equal(scores.numpy(), expected_scores[..., 0])


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_the_local_blur_equals_blurring_the_whole_map(sigma):
    maps = torch.rand(300, *HEATMAP_SIZE, generator=torch.Generator().manual_seed(0))
    peaks = torch.stack([6 + torch.arange(300) % 36, 6 + torch.arange(300) % 52], dim=-1)
    blurred = _blur_around(maps, *peaks.unbind(-1), sigma, 11)
    for own, values, (x, y) in zip(maps, blurred, peaks.tolist(), strict=True):
        whole = gaussian_filter(own.numpy(), sigma=sigma, radius=5)
        np.testing.assert_allclose(values.numpy(), whole[y - 1 : y + 2, x - 1 : x + 2], atol=1e-6)


@pytest.mark.parametrize("size", [(8, 6), (3, 3), (2, 5), (1, 1)])
def test_small_maps_decode_within_a_pixel_of_their_peak(size):
    maps = torch.rand(20, 2, *size, generator=torch.Generator().manual_seed(0))
    peaks, _ = stock.get_keypoint_predictions(maps.numpy())
    points, _ = decode_heatmaps(maps, blur_sigma=0.8)
    assert np.abs(points.numpy() - peaks).max() <= 1


def test_the_older_scheme_goes_both_ways():
    points = random_keypoints(50, 17, margin=1.0)
    labels, _ = encode_heatmaps(
        points * 4,
        torch.full(points.shape[:2], 2),
        crop_size=CROP_SIZE,
        heatmap_size=HEATMAP_SIZE,
        use_udp=False,
    )
    assert (labels.amax((-2, -1)) == 1).all()  # centres on whole pixels
    decoded, scores = decode_heatmaps_quarter_offset(labels)
    assert torch.equal(decoded, (points + 0.5).floor())  # neighbours are equally high, so nothing moves
    assert (scores == 1).all()


@pytest.mark.parametrize(
    ("peak", "neighbour", "expected"),
    [
        pytest.param((20, 30), (21, 30), [20.25, 30.0], id="towards the higher neighbour on the right"),
        pytest.param((20, 30), (19, 30), [19.75, 30.0], id="on the left"),
        pytest.param((20, 30), (20, 29), [20.0, 29.75], id="above"),
        pytest.param((20, 30), (21, 31), [20.0, 30.0], id="diagonal neighbours do not count"),
        pytest.param((0, 30), (1, 30), [0.0, 30.0], id="not on the border"),
        pytest.param((47, 63), (47, 62), [47.0, 63.0], id="nor in the last corner"),
    ],
)
def test_a_quarter_pixel(peak, neighbour, expected):
    maps = torch.zeros(1, 1, *HEATMAP_SIZE)
    maps[0, 0, peak[1], peak[0]], maps[0, 0, neighbour[1], neighbour[0]] = 1.0, 0.5
    assert decode_heatmaps_quarter_offset(maps)[0][0, 0].tolist() == expected


def test_the_older_mirrored_map_moves_by_a_pixel():
    maps = torch.zeros(1, 1, 2, 4)
    maps[0, 0, 0, 2] = 1.0  # mirrored: column 1, then one to the right
    assert flip_heatmaps(maps, (0,), use_udp=False)[0, 0].tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("decode", [partial(decode_heatmaps, blur_sigma=0.8), decode_heatmaps_quarter_offset])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_map_without_a_peak_scores_zero_at_its_centre(value, decode):
    heatmaps, _ = encode(random_keypoints(2, 3, margin=5.0))
    heatmaps[1, 2] = value
    points, scores = decode(heatmaps)
    assert points[1, 2].tolist() == [23.5, 31.5]
    assert scores[1, 2] == 0
    assert (scores.flatten()[:-1] > 0).all()


def test_noise_cannot_throw_a_point_away():
    heatmaps = torch.rand(200, 17, *HEATMAP_SIZE, generator=torch.Generator().manual_seed(0))
    peaks, _ = stock.get_keypoint_predictions(heatmaps.numpy())
    points, _ = decode_heatmaps(heatmaps, blur_sigma=0.8)
    assert np.abs(points.numpy() - peaks).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_type_decodes(dtype):
    points = random_keypoints(4, 5, margin=5.0)
    decoded, scores = decode_heatmaps(encode(points)[0].to(dtype), blur_sigma=2.0)
    assert decoded.dtype == scores.dtype == torch.float32
    assert (decoded - points).abs().max() < 0.25


def test_maps_in_a_graph_and_under_autocast_decode_alike():
    heatmaps, _ = encode(random_keypoints(4, 5, margin=5.0))
    expected, _ = decode_heatmaps(heatmaps, blur_sigma=0.8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded, _ = decode_heatmaps(heatmaps.requires_grad_(), blur_sigma=0.8)
    torch.testing.assert_close(decoded, expected)
    assert not decoded.requires_grad


@pytest.mark.parametrize(("num_people", "num_keypoints"), [(0, 17), (1, 1), (3, 1), (1, 133)])
def test_any_number_of_people_and_keypoints(num_people, num_keypoints):
    points, scores = decode_heatmaps(torch.rand(num_people, num_keypoints, *HEATMAP_SIZE), blur_sigma=0.8)
    assert points.shape == (num_people, num_keypoints, 2)
    assert scores.shape == (num_people, num_keypoints)


@pytest.mark.parametrize("decode", [partial(decode_heatmaps, blur_sigma=0.8), decode_heatmaps_quarter_offset])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_names_the_person(value, decode):
    heatmaps, _ = encode(random_keypoints(5, 3, margin=5.0))
    heatmaps[3, 1, 0, 0] = value  # far from every peak
    with pytest.raises(ValueError, match=r"must be finite, but those of people \[3\] hold NaN or infinity"):
        decode(heatmaps)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((17, 64, 48), {"blur_sigma": 0.8}, r"must have shape \(num_people, num_keypoints, height, width\), got \(17"),
        ((2, 0, 64, 48), {"blur_sigma": 0.8}, r"must have shape .* got \(2, 0, 64, 48\)"),
        ((2, 17, 64, 48), {"blur_sigma": 0.0}, r"blur_sigma must be a positive number of heatmap pixels, got 0\.0"),
        ((2, 17, 64, 48), {"blur_sigma": 0.8, "blur_kernel": 4}, r"blur_kernel must be odd and positive, got 4"),
    ],
)
def test_bad_arguments_are_named(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        decode_heatmaps(torch.zeros(shape), **settings)


def test_the_mirrored_map_of_a_mirrored_image_is_the_map():
    points = random_keypoints(4, 3, margin=5.0)
    mirrored = torch.stack([47 - points[..., 0], points[..., 1]], dim=-1)[:, [0, 2, 1]]
    torch.testing.assert_close(flip_heatmaps(encode(mirrored)[0], (0, 2, 1)), encode(points)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("flip_index", [(0, 1), (0, 1, 1), (0, 1, 3)])
def test_a_flip_index_must_be_a_permutation(flip_index):
    with pytest.raises(ValueError, match=r"flip_index: expected a permutation of range\(3\)"):
        flip_heatmaps(torch.zeros(1, 3, 4, 4), flip_index)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_decodes_alike():
    heatmaps, _ = encode(random_keypoints(8, 17))
    expected, scores = decode_heatmaps(heatmaps, blur_sigma=0.8)
    on_gpu, scores_on_gpu = decode_heatmaps(heatmaps.cuda(), blur_sigma=0.8)
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores_on_gpu.cpu(), scores)
