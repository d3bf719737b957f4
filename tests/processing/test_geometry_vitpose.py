"""Boxes, crop matrices and crop sampling against hand-made values and a float64 reference."""

import numpy as np
import pytest
import torch

from vitpose.processing.geometry_vitpose import (
    box_to_center_and_size,
    crop_to_image_matrices,
    invert_matrices,
    sample_crops,
    transform_points,
)

CROP_SIZE = (256, 192)


def matrices_of(boxes, crop_size=CROP_SIZE, **turns):
    centers, sizes = box_to_center_and_size(torch.as_tensor(boxes, dtype=torch.float64), crop_size=crop_size)
    return crop_to_image_matrices(centers, sizes, crop_size=crop_size, **turns)


def reference_crop(image: np.ndarray, matrix: np.ndarray, crop_size: tuple[int, int]) -> np.ndarray:
    """Bilinear sampling in float64, 0 outside [0, n - 1]; image and result are (height, width, channels)."""
    rows, columns = np.mgrid[: crop_size[0], : crop_size[1]].astype(np.float64)
    x, y = np.einsum("ij,jhw->ihw", matrix, np.stack([columns, rows, np.ones_like(rows)]))
    height, width = image.shape[:2]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = np.floor(x.clip(0, width - 1)).astype(int), np.floor(y.clip(0, height - 1)).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    above = image[top, left] * (1 - fx) + image[top, right] * fx
    below = image[bottom, left] * (1 - fx) + image[bottom, right] * fx
    return np.where(inside[..., None], above * (1 - fy) + below * fy, 0)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        pytest.param([10, 20, 192, 256], (240, 320), id="a box of the crop's aspect is only padded"),
        pytest.param([10, 20, 100, 256], (240, 320), id="a slim box grows in width"),
        pytest.param([10, 20, 192, 100], (240, 320), id="a wide box grows in height"),
    ],
)
def test_boxes_grow_around_their_centre(box, size):
    centers, sizes = box_to_center_and_size(torch.tensor([box], dtype=torch.float64), crop_size=CROP_SIZE)
    assert centers[0].tolist() == pytest.approx([box[0] + box[2] / 2, box[1] + box[3] / 2])
    assert sizes[0].tolist() == pytest.approx(size)


def test_the_crop_corners_lie_on_the_footprint_corners():
    matrices = crop_to_image_matrices(torch.tensor([[50.0, 60.0]]), torch.tensor([[30.0, 40.0]]), crop_size=CROP_SIZE)
    corners = transform_points(torch.tensor([[[0.0, 0.0], [191.0, 255.0]]]), matrices)
    torch.testing.assert_close(corners, torch.tensor([[[35.0, 40.0], [65.0, 80.0]]]))


def test_rotation_turns_the_x_axis_towards_the_y_axis():
    center, size = torch.tensor([[50.0, 60.0]]), torch.tensor([[30.0, 40.0]])
    matrices = crop_to_image_matrices(center, size, crop_size=CROP_SIZE, rotations=torch.tensor([90.0]))
    middle_right = transform_points(torch.tensor([[[191.0, 127.5]]]), matrices)
    torch.testing.assert_close(middle_right, torch.tensor([[[50.0, 75.0]]]))


def test_a_flip_mirrors_the_crop_and_not_the_rotation():
    centers, sizes = torch.tensor([[50.0, 60.0]]).expand(2, -1), torch.tensor([[30.0, 40.0]]).expand(2, -1)
    flips, rotations = torch.tensor([False, True]), torch.tensor([25.0, 25.0])
    plain, flipped = crop_to_image_matrices(centers, sizes, crop_size=CROP_SIZE, rotations=rotations, flips=flips)
    points = torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(0)) * 190
    mirrored = torch.stack([191 - points[..., 0], points[..., 1]], dim=-1)
    torch.testing.assert_close(transform_points(points, flipped[None]), transform_points(mirrored, plain[None]))


def test_the_inverse_brings_points_back():
    generator = torch.Generator().manual_seed(1)
    centers, sizes = torch.rand(8, 2, generator=generator) * 4000, torch.rand(8, 2, generator=generator) * 900 + 20
    rotations, flips = torch.rand(8, generator=generator) * 360, torch.arange(8) % 2 == 0
    matrices = crop_to_image_matrices(centers, sizes, crop_size=CROP_SIZE, rotations=rotations, flips=flips)
    points = torch.rand(8, 17, 2, generator=generator) * 190
    back = transform_points(transform_points(points, matrices), invert_matrices(matrices))
    torch.testing.assert_close(back, points, atol=0.02, rtol=0)  # float32 at coordinates of 4000


def test_a_crop_of_one_pixel_has_no_udp_unit():
    with pytest.raises(ValueError, match=r"crop_size must be at least \(2, 2\)"):
        crop_to_image_matrices(torch.zeros(1, 2), torch.ones(1, 2), crop_size=(1, 192))


@pytest.mark.parametrize("turned", [False, True], ids=["upright", "rotated and flipped"])
@pytest.mark.parametrize(
    "photo_size",
    [
        pytest.param((480, 640), id="a photo"),
        pytest.param((3000, 4200), id="a photo so large that float32 coordinates are coarse"),
        pytest.param((1, 7), id="one row of pixels"),
        pytest.param((3, 3), id="a photo smaller than any kernel"),
    ],
)
def test_crops_equal_a_float64_reference(photo_size, turned):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*photo_size, 3), dtype=np.uint8)
    height, width = photo_size
    boxes = random.uniform([-0.2 * width, -0.2 * height, 0.1 * width, 0.1 * height], [width, height] * 2, (8, 4))
    turns = {"rotations": torch.linspace(-80, 80, 8), "flips": torch.arange(8) % 2 == 0} if turned else {}
    matrices = matrices_of(boxes, **turns)
    crops = sample_crops(torch.from_numpy(image).permute(2, 0, 1), matrices, crop_size=CROP_SIZE)
    expected = np.stack([reference_crop(image, matrix.numpy(), CROP_SIZE) for matrix in matrices])
    error = np.abs(crops.permute(0, 2, 3, 1).numpy() - expected)
    assert error.mean() < 0.01  # grey levels
    assert np.quantile(error, 0.999) < 0.1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_pixel_type_gives_float32_in_its_own_range(dtype):
    image = torch.full((3, 40, 30), 200).to(dtype)
    crops = sample_crops(image, matrices_of([[5, 5, 8, 8]]), crop_size=CROP_SIZE)
    assert crops.dtype == torch.float32
    torch.testing.assert_close(crops, torch.full((1, 3, 256, 192), 200.0), atol=1e-3, rtol=0)


def test_nothing_blends_over_the_border():
    image = torch.full((1, 100, 100), 255, dtype=torch.uint8)
    crops = sample_crops(image, matrices_of([[-20.3, -10.7, 60, 80]]), crop_size=CROP_SIZE)
    assert set(crops.round(decimals=2).unique().tolist()) == {0.0, 255.0}


def test_a_sample_exactly_on_the_border_is_inside():
    size = torch.tensor([[639.0, 479.0]], dtype=torch.float64)
    matrices = crop_to_image_matrices(size / 2, size, crop_size=CROP_SIZE)  # the crop's edge pixels lie on the photo's
    crops = sample_crops(torch.full((1, 480, 640), 9.0), matrices, crop_size=CROP_SIZE)
    torch.testing.assert_close(crops, torch.full((1, 1, 256, 192), 9.0), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([500, 20, 30, 40], id="right of the image"),
        pytest.param([-500, -500, 30, 40], id="left and above"),
        pytest.param([1e9, 1e9, 10, 10], id="absurdly far"),
    ],
)
def test_a_box_outside_gives_zeros_beside_people_inside(box):
    image = torch.full((3, 100, 100), 7, dtype=torch.uint8)
    crops = sample_crops(image, matrices_of([box, [10, 10, 50, 50]]), crop_size=CROP_SIZE)
    assert crops[0].abs().max() == 0
    assert crops[1, :, 128, 96].tolist() == pytest.approx([7.0] * 3)


def test_gain_and_bias_apply_to_samples_outside_too():
    image, matrices = torch.full((3, 100, 100), 10, dtype=torch.uint8), matrices_of([[500, 20, 30, 40], [40, 40, 9, 9]])
    gain, bias = torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([-1.0, -2.0, -3.0])[:, None, None]
    crops = sample_crops(image, matrices, crop_size=CROP_SIZE, gain=gain, bias=bias)
    torch.testing.assert_close(crops[:, :, 0, 0], torch.tensor([[-1.0, -2.0, -3.0], [9.0, 18.0, 27.0]]))


def test_a_vast_box_touches_no_more_than_the_image():
    crops = sample_crops(torch.ones(3, 100, 100), matrices_of([[-5e6, -5e6, 1e7, 1e7]]), crop_size=CROP_SIZE)
    assert crops.shape == (1, 3, 256, 192)


def test_nobody_gives_no_crops():
    crops = sample_crops(torch.ones(3, 100, 100), torch.zeros(0, 2, 3), crop_size=CROP_SIZE)
    assert crops.shape == (0, 3, 256, 192)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_crops():
    image = torch.randint(0, 256, (3, 480, 640), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    matrices = matrices_of([[10, 20, 100, 200], [300, 50, 80, 160], [900, 0, 10, 10]])
    on_cpu = sample_crops(image, matrices, crop_size=CROP_SIZE)
    on_gpu = sample_crops(image.cuda(), matrices, crop_size=CROP_SIZE)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=0.05, rtol=0)
