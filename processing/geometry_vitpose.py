"""Boxes, crop matrices and crop sampling with unbiased data processing (UDP), batched over people.

Frames: *image* pixels (the photo) and *crop* pixels (the network's input); pixel centres lie on whole numbers in both.
UDP measures lengths in pixel *steps*: a crop of ``w`` pixels spans ``w - 1`` steps, so crop pixel ``k`` samples
``box_left + k * box_width / (w - 1)`` (ViTPose paper; released configs). Every function works on any device, in float32
or float64, and has no loop over people.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# A coordinate this close outside the border is rounding, not a point outside: it must not blank a row of the crop.
_BORDER_TOLERANCE_PX = 1e-3
# Normalised coordinate that lies outside an image of any size, so that all four bilinear neighbours are zero.
_FAR_OUTSIDE = 4.0


def box_to_center_and_size(
    boxes_xywh: Tensor, *, crop_size: tuple[int, int], padding: float = 1.25
) -> tuple[Tensor, Tensor]:
    """Grow boxes to the crop's aspect ratio and pad them (ViTPose paper; released configs).

    Args:
        boxes_xywh: `(num_people, 4)`, left, top, width, height in image pixels.
        crop_size: height and width of the crop in pixels.
        padding: factor on both sides after the aspect ratio is right.

    Returns:
        Centres `(num_people, 2)` as x, y and side lengths `(num_people, 2)` as width, height, in image pixels.
    """
    height, width = crop_size
    aspect = width / height
    top_left, sides = boxes_xywh[:, :2], boxes_xywh[:, 2:]  # (n, 2) each
    grown_width = torch.maximum(sides[:, 0], sides[:, 1] * aspect)
    sizes = torch.stack([grown_width, grown_width / aspect], dim=-1) * padding  # (n, 2)
    return top_left + sides * 0.5, sizes


def crop_to_image_matrices(
    centers: Tensor,
    sizes: Tensor,
    *,
    crop_size: tuple[int, int],
    rotations: Tensor | None = None,
    flips: Tensor | None = None,
) -> Tensor:
    """Affine maps from crop pixels to image pixels, with UDP's unit of ``size - 1`` steps.

    ``image = center + R(rotation) @ ((crop - (size - 1) / 2) * side / (size - 1))``.

    Args:
        centers: `(num_people, 2)`, x and y in image pixels.
        sizes: `(num_people, 2)`, width and height of the crop's footprint in image pixels.
        crop_size: height and width of the crop in pixels, both at least 2.
        rotations: `(num_people,)` degrees, turning the footprint from the x axis towards the y axis of the image.
        flips: `(num_people,)` bool, True mirrors the crop: crop column ``x`` shows what ``width - 1 - x`` would.

    Returns:
        `(num_people, 2, 3)`, to be multiplied with (x, y, 1).
    """
    height, width = crop_size
    if height < 2 or width < 2:
        raise ValueError(f"crop_size must be at least (2, 2) for UDP, which divides by size - 1; got {crop_size}.")
    steps = centers.new_tensor([width - 1, height - 1])  # (2,)
    scale = sizes / steps  # (n, 2) image pixels per crop pixel
    if flips is not None:
        scale = torch.stack([torch.where(flips, -scale[:, 0], scale[:, 0]), scale[:, 1]], dim=-1)
    linear = torch.diag_embed(scale)  # (n, 2, 2)
    if rotations is not None:
        linear = _rotation_matrices(rotations.to(scale)) @ linear
    offset = centers - (linear @ (steps / 2)[:, None]).squeeze(-1)  # (n, 2) image position of crop pixel (0, 0)
    return torch.cat([linear, offset[:, :, None]], dim=-1)


def _rotation_matrices(degrees: Tensor) -> Tensor:
    radians = torch.deg2rad(degrees)
    cos, sin = radians.cos(), radians.sin()
    return torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)  # (n, 2, 2)


def invert_matrices(matrices: Tensor) -> Tensor:
    """Invert affine maps `(num_people, 2, 3)`; in closed form, so it is exact to rounding and stays on the device."""
    a, b, c, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1]
    adjugate = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-c, a], dim=-1)], dim=-2)
    linear = adjugate / (a * d - b * c)[:, None, None]  # (n, 2, 2)
    return torch.cat([linear, -linear @ matrices[:, :, 2:]], dim=-1)


def transform_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Apply affine maps `(num_people, 2, 3)` to points `(num_people, num_points, 2)`."""
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    return (points[:, :, None, :] * linear[:, None]).sum(-1) + offset[:, None]  # exact even where matmul is not float32


def sample_crops(image: Tensor, matrices: Tensor, *, crop_size: tuple[int, int]) -> Tensor:
    """Cut all people out of one image by bilinear sampling, unrounded.

    A sample outside ``[0, size - 1]`` of the image is exactly 0, as in the stock VitPose processor: nothing blends over
    the border.

    Args:
        image: `(channels, height, width)`, uint8 or any floating type, on any device.
        matrices: `(num_people, 2, 3)` from crop to image pixels, see [`crop_to_image_matrices`].
        crop_size: height and width of the crops in pixels.

    Returns:
        `(num_people, channels, crop_height, crop_width)` float32 in the image's range of values, on its device.
    """
    matrices = matrices.detach().double()  # the shift to the region below would cost float32 its sub-pixel digits
    left, top, right, bottom = _sampled_region(matrices, crop_size, image.shape[-2:])
    if left >= right or top >= bottom:  # nobody, or everybody wholly outside
        return image.new_zeros((len(matrices), image.shape[0], *crop_size), dtype=torch.float32)
    region = image[:, top:bottom, left:right].float()
    shift = matrices.new_tensor([left, top])
    matrices = torch.cat([matrices[:, :, :2], matrices[:, :, 2:] - shift[:, None]], dim=-1)
    grid = _sampling_grid(matrices.to(image.device), crop_size, region.shape[-2:])
    region = region.expand(len(matrices), -1, -1, -1)  # (n, c, h, w) without a copy
    return F.grid_sample(region, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _sampled_region(
    matrices: Tensor, crop_size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the part of the image that any crop touches."""
    height, width = crop_size
    corners = matrices.new_tensor([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    corners = transform_points(corners.expand(len(matrices), -1, -1), matrices).flatten(0, 1)  # (n * 4, 2)
    if not len(corners):
        return 0, 0, 0, 0
    limits = corners.new_tensor([image_size[1], image_size[0]])
    first = (corners.amin(0).floor() - 1).clamp(min=0).minimum(limits)  # one pixel of margin for rounding
    last = (corners.amax(0).ceil() + 2).clamp(min=0).minimum(limits)
    left, top, right, bottom = torch.cat([first, last]).long().tolist()
    return left, top, right, bottom


def _sampling_grid(matrices: Tensor, crop_size: tuple[int, int], region_size: tuple[int, int]) -> Tensor:
    """Normalised sampling positions `(n, crop_height, crop_width, 2)` float32; outside points lie far away."""
    size = matrices.new_tensor([region_size[1], region_size[0]])  # (2,)
    # grid_sample's frame without align_corners: pixel p lies at (2 p + 1) / size - 1.
    linear = matrices[:, :, :2] * 2 / size[:, None]  # (n, 2, 2)
    offset = (matrices[:, :, 2] * 2 + 1) / size - 1  # (n, 2)
    rows = torch.arange(crop_size[0], device=matrices.device, dtype=matrices.dtype)
    columns = torch.arange(crop_size[1], device=matrices.device, dtype=matrices.dtype)
    along_rows = rows[:, None] * linear[:, None, :, 1] + offset[:, None]  # (n, h, 2)
    along_columns = columns[:, None] * linear[:, None, :, 0]  # (n, w, 2)
    grid = along_rows.float()[:, :, None] + along_columns.float()[:, None]  # (n, h, w, 2)
    limit = 1 - (1 - 2 * _BORDER_TOLERANCE_PX) / size.float()
    return grid.masked_fill_(grid.abs() > limit, _FAR_OUTSIDE)
