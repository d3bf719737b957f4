"""Errors of the processor against float64 formulas: crops, decoded targets, and the whole path from box to image.

Run: ``python benchmarks/accuracy.py``; about two minutes on one CPU thread. Prints Markdown tables.
"""

import argparse

import numpy as np
import torch

from vitpose import ViTPoseImageProcessor
from vitpose.processing.geometry_vitpose import box_to_center_and_size, crop_to_image_matrices, sample_crops
from vitpose.processing.heatmaps_vitpose import decode_heatmaps, encode_heatmaps

CROP_SIZE, HEATMAP_SIZE = (256, 192), (64, 48)
PHOTO_SIZE = (1080, 1920)
SIZES_PER_BATCH = 500


def reference_crops(image: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Bilinear samples in float64, 0 outside [0, n - 1]; image `(height, width, channels)`, `(n, h, w, channels)`."""
    rows, columns = np.mgrid[: CROP_SIZE[0], : CROP_SIZE[1]].astype(np.float64)
    x, y = np.einsum("nij,jhw->inhw", matrices, np.stack([columns, rows, np.ones_like(rows)]))
    height, width = image.shape[:2]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = np.floor(x.clip(0, width - 1)).astype(int), np.floor(y.clip(0, height - 1)).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    above = image[top, left] * (1 - fx) + image[top, right] * fx
    below = image[bottom, left] * (1 - fx) + image[bottom, right] * fx
    return np.where(inside[..., None], above * (1 - fy) + below * fy, 0)


def random_boxes(count: int, random: np.random.Generator) -> torch.Tensor:
    """Boxes between 20 and 900 pixels a side, a third of them over the photo's border; `(count, 4)` float64."""
    sides = random.uniform(20, 900, (count, 2))
    corners = random.uniform(-0.3 * sides, np.array(PHOTO_SIZE[::-1]) - 0.7 * sides)
    return torch.from_numpy(np.concatenate([corners, sides], axis=1))


def measure_crops(num_people: int, random: np.random.Generator) -> None:
    image = random.integers(0, 256, (*PHOTO_SIZE, 3), dtype=np.uint8)  # noise: the hardest picture there is
    centers, sizes = box_to_center_and_size(random_boxes(num_people, random), crop_size=CROP_SIZE)
    matrices = crop_to_image_matrices(centers, sizes, crop_size=CROP_SIZE)
    crops = sample_crops(torch.from_numpy(image).permute(2, 0, 1), matrices, crop_size=CROP_SIZE)
    expected = reference_crops(image, matrices.numpy())
    error = np.abs(crops.permute(0, 2, 3, 1).numpy() - expected)
    rounded = np.abs(expected.round() - expected)
    print(f"\n### Crops of {num_people} people in a photo of noise, grey levels from float64 bilinear sampling\n")
    print("| | mean | 99.9 % | largest |\n|---|---:|---:|---:|")
    for name, values in (("vitpose", error), ("rounded to whole levels, as stock", rounded)):
        print(f"| {name} | {values.mean():.5f} | {np.quantile(values, 0.999):.4f} | {values.max():.3f} |")


def measure_decoding(num_maps: int, random: np.random.Generator) -> None:
    steps = torch.tensor([HEATMAP_SIZE[1] - 1.0, HEATMAP_SIZE[0] - 1.0])
    points = torch.from_numpy(random.uniform(0, 1, (num_maps, 1, 2))).float() * steps
    crop_steps = torch.tensor([CROP_SIZE[1] - 1.0, CROP_SIZE[0] - 1.0])
    labels, _ = encode_heatmaps(
        points * crop_steps / steps, torch.ones(num_maps, 1), crop_size=CROP_SIZE, heatmap_size=HEATMAP_SIZE
    )
    border = torch.minimum(points, steps - points).amin(-1).flatten()
    print(f"\n### Targets of {num_maps:,} keypoints decoded again, heatmap pixels\n")
    print("| blur | mean | largest | largest within 6 pixels of the border |\n|---|---:|---:|---:|")
    for sigma in (0.8, 2.0):
        error = (decode_heatmaps(labels, blur_sigma=sigma)[0] - points).abs().amax(-1).flatten()
        print(f"| {sigma} | {error.mean():.6f} | {error.max():.5f} | {error[border < 6].max():.5f} |")


def measure_whole_path(num_boxes: int, random: np.random.Generator) -> None:
    """Boxes and keypoints in the image to targets, decoding, and back into the image."""
    processor, errors = ViTPoseImageProcessor(), []
    blank = np.zeros((*PHOTO_SIZE, 3), dtype=np.uint8)
    for boxes in random_boxes(num_boxes, random).split(SIZES_PER_BATCH):
        centers, sizes = box_to_center_and_size(boxes, crop_size=CROP_SIZE)
        points = centers + (torch.from_numpy(random.uniform(0, 1, (len(boxes), 2))) - 0.5) * sizes
        keypoints = torch.cat([points, torch.full((len(boxes), 1), 2.0)], dim=1)[:, None]
        labels = processor(blank, boxes=[boxes], keypoints=[keypoints]).labels
        people = processor.post_process_pose_estimation(labels, boxes=[boxes])[0]
        found = torch.cat([person["keypoints"] for person in people])
        pixel = sizes / torch.tensor([HEATMAP_SIZE[1] - 1, HEATMAP_SIZE[0] - 1])
        errors.append(((found - points) / pixel).abs().amax(-1))
    error = torch.cat(errors)
    print(f"\n### {num_boxes:,} random boxes, a keypoint anywhere in each crop, there and back, heatmap pixels\n")
    print("| mean | largest |\n|---:|---:|")
    print(f"| {error.mean():.6f} | {error.max():.5f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of the processor against float64 formulas.")
    parser.add_argument("--count", type=int, default=10_000, help="boxes and keypoints (default: %(default)s)")
    count = parser.parse_args().count
    random = np.random.default_rng(0)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}")
    measure_crops(60, random)
    measure_decoding(count, random)
    measure_whole_path(count, random)


if __name__ == "__main__":
    main()
