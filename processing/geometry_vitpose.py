"""Boxes, crop matrices and crop sampling with unbiased data processing (UDP), batched over people.

Frames: *image* pixels (the photo) and *crop* pixels (the network's input); pixel centres lie on whole numbers in both.
UDP measures lengths in pixel *steps*: a crop of ``w`` pixels spans ``w - 1`` steps, so crop pixel ``k`` samples
``box_left + k * box_width / (w - 1)`` (ViTPose paper; released configs). Every function works on any device, in float32
or float64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# A sample outside by this share of the image's longer side (1 / 1000 pixel of 2000) is inside up to float32's rounding:
# it must not blank a row of the crop.
_BORDER_TOLERANCE = 5e-7
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
    use_udp: bool = True,
) -> Tensor:
    """Affine maps from crop pixels to image pixels.

    ``image = center + R(rotation) @ ((crop - unit / 2) * side / unit)``, where UDP's unit is ``size - 1`` steps.

    Args:
        centers: `(num_people, 2)`, x and y in image pixels.
        sizes: `(num_people, 2)`, width and height of the crop's footprint in image pixels.
        crop_size: height and width of the crop in pixels, both at least 2.
        rotations: `(num_people,)` degrees, turning the footprint from the x axis towards the y axis of the image.
        flips: `(num_people,)` bool, True mirrors the crop: crop column ``x`` shows what ``width - 1 - x`` would.
        use_udp: False for the unit of the older scheme, ``size`` pixels.

    Returns:
        `(num_people, 2, 3)`, to be multiplied with (x, y, 1).
    """
    height, width = crop_size
    if height < 2 or width < 2:
        raise ValueError(f"crop_size must be at least (2, 2) for UDP, which divides by size - 1; got {crop_size}.")
    less = 1 if use_udp else 0
    unit = centers.new_tensor([width - less, height - less])  # (2,)
    scale = sizes / unit  # (n, 2) image pixels per crop pixel
    middle = (unit / 2).expand(len(centers), -1)  # (n, 2) the crop pixel that shows the box's centre
    if flips is not None:
        scale = torch.stack([torch.where(flips, -scale[:, 0], scale[:, 0]), scale[:, 1]], dim=-1)
        middle = torch.stack([torch.where(flips, width - 1 - middle[:, 0], middle[:, 0]), middle[:, 1]], dim=-1)
    linear = torch.diag_embed(scale)  # (n, 2, 2)
    if rotations is not None:
        linear = _rotation_matrices(rotations.to(scale)) @ linear
    offset = centers - (linear @ middle[:, :, None]).squeeze(-1)  # (n, 2) image position of crop pixel (0, 0)
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


def sample_crops(
    image: Tensor,
    matrices: Tensor,
    *,
    crop_size: tuple[int, int],
    gain: Tensor | float = 1.0,
    bias: Tensor | float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Cut all people out of one image by bilinear sampling, unrounded.

    A sample outside ``[0, size - 1]`` of the image is exactly 0, as in the stock VitPose processor: nothing blends over
    the border.

    Args:
        image: `(channels, height, width)`, uint8 or any floating type, on any device.
        matrices: `(num_people, 2, 3)` from crop to image pixels, see [`crop_to_image_matrices`].
        crop_size: height and width of the crops in pixels.
        gain: what samples are multiplied with, a number or `(channels, 1, 1)`.
        bias: what is added then, to samples outside the image too.
        dtype: type of the crops; samples are computed in float32 whatever it is.

    Returns:
        `(num_people, channels, crop_height, crop_width)` on the image's device; in the image's range of values,
        unless `gain` or `bias` change it.
    """
    crops = torch.empty((len(matrices), image.shape[0], *crop_size), device=image.device, dtype=dtype)
    if not len(matrices):
        return crops
    gain, bias = (torch.as_tensor(value, dtype=torch.float32, device=image.device) for value in (gain, bias))
    matrices = matrices.detach().double()  # moving the origin to a region would cost float32 its sub-pixel digits
    regions = _touched_regions(matrices, crop_size, image.shape[-2:])  # (n, 4)
    group = 1  # a CPU is fastest where it touches the pixels around one person only: they stay in its cache
    if image.device.type != "cpu":  # a GPU is fastest where one launch serves everyone
        group = len(regions)
        regions = torch.cat([regions[:, :2].amin(0), regions[:, 2:].amax(0)]).expand(group, -1)
    tolerance = _BORDER_TOLERANCE * max(image.shape[-2:])
    axes = [axis.to(image.device).split(group) for axis in _sampling_axes(matrices, regions, crop_size, tolerance)]
    for crop, x, y, region in zip(crops.split(group), *axes, regions[::group].long().tolist(), strict=True):
        left, top, right, bottom = region
        if left >= right or top >= bottom:
            crop.zero_().add_(bias)  # wholly outside the image
            continue
        pixels = image[:, top:bottom, left:right].float().expand(len(crop), -1, -1, -1)  # (n, c, region_h, region_w)
        grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)  # (n, h, w, 2)
        sampled = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        torch.addcmul(bias, sampled, gain, out=crop)  # while it is in the cache
    return crops


def covering_region(
    matrices: Tensor, *, crop_size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The part of an image that [`sample_crops`] reads: left, top, right and bottom (exclusive), whole pixels.

    Cut to it, with the matrices moved to its corner ([`move_origin`]), an image gives the same crops.

    Args:
        matrices: `(num_people, 2, 3)` from crop to image pixels, at least one.
        crop_size: height and width of the crops in pixels.
        image_size: height and width of the image in pixels.
    """
    regions = _touched_regions(matrices.double(), crop_size, image_size)
    left, top, right, bottom = torch.cat([regions[:, :2].amin(0), regions[:, 2:].amax(0)]).long().tolist()
    return left, top, right, bottom


def move_origin(matrices: Tensor, *, left: int, top: int) -> Tensor:
    """Matrices `(num_people, 2, 3)` into an image of which `left` columns and `top` rows were cut off."""
    moved = matrices.clone()
    moved[:, :, 2] -= moved.new_tensor([left, top])
    return moved


def _touched_regions(matrices: Tensor, crop_size: tuple[int, int], image_size: Sequence[int]) -> Tensor:
    """The part of the image that each crop covers: left, top, right, bottom (exclusive), `(n, 4)` whole numbers."""
    extents = matrices[:, :, :2] * matrices.new_tensor([crop_size[1] - 1, crop_size[0] - 1])  # (n, 2, 2)
    first = matrices[:, :, 2] + extents.clamp(max=0).sum(-1)  # (n, 2) smallest x and y
    last = matrices[:, :, 2] + extents.clamp(min=0).sum(-1)
    limits = matrices.new_tensor([image_size[1], image_size[0]])
    first = (first.floor() - 1).clamp(min=0).minimum(limits)  # one pixel of margin for rounding
    last = (last.ceil() + 2).clamp(min=0).minimum(limits)
    return torch.cat([first, last], dim=-1)


def _sampling_axes(
    matrices: Tensor, regions: Tensor, crop_size: tuple[int, int], tolerance_px: float
) -> tuple[Tensor, Tensor]:
    """Normalised x `(n, 1 or h, w)` and y `(n, h, 1 or w)` of the sampling grids in their regions, float32.

    Points more than the tolerance outside their region lie far away. Without rotation x is the same in all rows, and y
    in all columns.
    """
    sizes = (regions[:, 2:] - regions[:, :2]).clamp(min=1)  # (n, 2)
    # grid_sample's frame without align_corners: pixel p lies at (2 p + 1) / size - 1.
    linear = matrices[:, :, :2] * (2 / sizes)[:, :, None]  # (n, 2, 2)
    offset = (2 * (matrices[:, :, 2] - regions[:, :2]) + 1) / sizes - 1  # (n, 2)
    limit = 1 - (1 - 2 * tolerance_px) / sizes
    columns = torch.arange(crop_size[1], dtype=torch.float32, device=matrices.device)  # (w,)
    rows = torch.arange(crop_size[0], dtype=torch.float32, device=matrices.device)[:, None]  # (h, 1)
    values = torch.cat([linear.flatten(1), offset, limit], dim=1).float()[:, :, None, None]  # (n, 8, 1, 1)
    x_columns, x_rows, y_columns, y_rows, x, y, x_limit, y_limit = values.unbind(1)
    x, y = x + x_columns * columns, y + y_rows * rows  # (n, 1, w), (n, h, 1)
    if linear[:, [0, 1], [1, 0]].any():
        x, y = x + x_rows * rows, y + y_columns * columns  # (n, h, w) each
    return x.masked_fill(x.abs() > x_limit, _FAR_OUTSIDE), y.masked_fill(y.abs() > y_limit, _FAR_OUTSIDE)
