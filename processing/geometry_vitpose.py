"""Boxes, crop matrices and crop sampling with unbiased data processing (UDP), batched over people.

Frames: *image* pixels (the photo) and *crop* pixels (the network's input); pixel centers lie on whole numbers in both.
UDP measures lengths in pixel *steps*: a crop of ``w`` pixels spans ``w - 1`` steps, so crop pixel ``k`` samples
``box_left + k * box_width / (w - 1)`` (ViTPose paper; released configs). Every function works on any device, in float32
or float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .processor_settings_vitpose import BOX_PADDING, ProcessorSettings

# A sample outside by this share of the image's longer side (1 / 1000 pixel of 2000) is inside up to float32's rounding:
# it must not blank a row of the crop.
_BORDER_TOLERANCE = 5e-7
# Normalized coordinate that lies outside an image of any size, so that all four bilinear neighbors are zero.
_FAR_OUTSIDE = 4.0


def box_to_center_and_size(
    boxes_xywh: Tensor, *, crop_size: tuple[int, int], padding: float | Tensor = BOX_PADDING
) -> tuple[Tensor, Tensor]:
    """Grow boxes to the crop's aspect ratio and pad them (ViTPose paper; released configs).

    Args:
        boxes_xywh: `(num_people, 4)`, left, top, width, height in image pixels.
        crop_size: height and width of the crop in pixels.
        padding: factor on both sides after the aspect ratio is right, a number or `(num_people, 1)`.

    Returns:
        Centers `(num_people, 2)` as x, y and side lengths `(num_people, 2)` as width, height, in image pixels.
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
    middle = (unit / 2).expand(len(centers), -1)  # (n, 2) the crop pixel that shows the box's center
    if flips is not None:
        scale = torch.stack([torch.where(flips, -scale[:, 0], scale[:, 0]), scale[:, 1]], dim=-1)
        middle = torch.stack([torch.where(flips, width - 1 - middle[:, 0], middle[:, 0]), middle[:, 1]], dim=-1)
    linear = torch.diag_embed(scale)  # (n, 2, 2)
    if rotations is not None:
        radians = torch.deg2rad(rotations.to(scale))
        cos, sin = radians.cos(), radians.sin()
        linear = torch.stack([cos, -sin, sin, cos], dim=-1).view(-1, 2, 2) * scale[:, None]
    # Sums and no matrix products, whose last digit depends on how many people there are.
    offset = centers - (linear * middle[:, None]).sum(-1)  # (n, 2) image position of crop pixel (0, 0)
    return torch.cat([linear, offset[:, :, None]], dim=-1)


def crop_matrices(
    boxes_xywh: Tensor,
    settings: ProcessorSettings,
    *,
    padding: Tensor | None = None,
    rotations: Tensor | None = None,
    flips: Tensor | None = None,
) -> Tensor:
    """Affine maps `(num_people, 2, 3)` from crop pixels to image pixels, as the settings of a processor have it.

    Args:
        boxes_xywh: `(num_people, 4)`, left, top, width and height in image pixels.
        settings: Size, padding and scheme of the crops.
        padding: `(num_people, 1)`, factors on the sides of each box instead of the settings' one.
        rotations: `(num_people,)` degrees, see [`crop_to_image_matrices`].
        flips: `(num_people,)` bool, True mirrors the crop.
    """
    centers, sizes = box_to_center_and_size(
        boxes_xywh, crop_size=settings.crop_size, padding=settings.padding if padding is None else padding
    )
    return crop_to_image_matrices(
        centers, sizes, crop_size=settings.crop_size, rotations=rotations, flips=flips, use_udp=settings.use_udp
    )


def invert_matrices(matrices: Tensor) -> Tensor:
    """Invert affine maps `(num_people, 2, 3)`; in closed form, so it is exact to rounding and stays on the device."""
    a, b, c, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1]
    adjugate = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-c, a], dim=-1)], dim=-2)
    linear = adjugate / (a * d - b * c)[:, None, None]  # (n, 2, 2)
    offset = -(linear * matrices[:, None, :, 2]).sum(-1)  # (n, 2), a sum as above
    return torch.cat([linear, offset[:, :, None]], dim=-1)


def transform_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Apply affine maps `(num_people, 2, 3)` to points `(num_people, num_points, 2)`."""
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    return (points[:, :, None, :] * linear[:, None]).sum(-1) + offset[:, None]  # exact even where matmul is not float32


def heatmap_to_crop(crop_size: tuple[int, int], heatmap_size: tuple[int, int], *, use_udp: bool) -> Tensor:
    """Crop pixels per heatmap pixel along x and y, `(2,)` float64; with UDP both span the same steps.

    Args:
        crop_size: Height and width of the crops in pixels.
        heatmap_size: Height and width of the heatmaps in pixels.
        use_udp: False for the older scheme, in which both span the same area.
    """
    if min(heatmap_size) < 2:
        raise ValueError(f"heatmaps must be at least 2 pixels high and wide for UDP, got {heatmap_size}.")
    less = 1 if use_udp else 0
    sides = zip(crop_size[::-1], heatmap_size[::-1], strict=True)
    return torch.tensor([(crop - less) / (heatmap - less) for crop, heatmap in sides], dtype=torch.float64)


def sample_crops(
    image: Tensor | Sequence[Tensor],
    matrices: Tensor,
    *,
    crop_size: tuple[int, int],
    gain: Tensor | float = 1.0,
    bias: Tensor | float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Cut people out of their images by bilinear sampling, unrounded.

    A sample outside ``[0, size - 1]`` of the image is exactly 0, as in the stock VitPose processor: nothing blends over
    the border.

    Args:
        image: `(channels, height, width)`, uint8 or any floating type, on any device: the image that everyone is in, or
            a sequence with an image for each person.
        matrices: `(num_people, 2, 3)` from crop to image pixels, see [`crop_to_image_matrices`].
        crop_size: height and width of the crops in pixels.
        gain: what samples are multiplied with, a number or `(channels, 1, 1)`.
        bias: what is added then, to samples outside the image too.
        dtype: type of the crops; samples are computed in float32 whatever it is.

    Returns:
        `(num_people, channels, crop_height, crop_width)` on the image's device; in the image's range of values,
        unless `gain` or `bias` change it.
    """
    images = [image] * max(1, len(matrices)) if isinstance(image, Tensor) else image
    device = images[0].device
    crops = torch.empty((len(matrices), images[0].shape[0], *crop_size), device=device, dtype=dtype)
    if not len(matrices):
        return crops
    gain, bias = (torch.as_tensor(value, dtype=torch.float32, device=device) for value in (gain, bias))
    group = 1  # a CPU is fastest where it touches the pixels around one person only: they stay in its cache
    if isinstance(image, Tensor) and device.type != "cpu":  # a GPU is fastest where one launch serves everyone
        group = len(matrices)
    sizes = matrices.new_tensor([own.shape[-2:] for own in images])  # (n, 2)
    plan = _plan_sampling(matrices.detach().double(), crop_size, sizes, group)
    maps = plan.maps.float().to(device).split(group)
    for number, (crop, (left, top, right, bottom)) in enumerate(zip(crops.split(group), plan.regions, strict=True)):
        if left >= right or top >= bottom:
            crop.zero_().add_(bias)  # wholly outside the image
            continue
        pixels = images[number * group][:, top:bottom, left:right].float()
        pixels = pixels.expand(len(crop), -1, -1, -1)  # (n, c, region_h, region_w)
        own_limits = plan.limits[number] if plan.cut_off[number] else None
        grid = _sampling_grid(maps[number], own_limits, crop_size, turned=plan.turned[number])
        sampled = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        torch.add(sampled.mul_(gain), bias, out=crop)  # while it is in the cache
    return crops


def covering_regions(matrices: Tensor, *, crop_size: tuple[int, int], image_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of images that [`sample_crops`] reads.

    Cut to them, with the matrices moved to their corners, images give the same crops.

    Args:
        matrices: `(num_people, 2, 3)` from crop to image pixels, float64.
        crop_size: height and width of the crops in pixels.
        image_sizes: `(num_people, 2)` or `(2,)`, heights and widths of the images in pixels.

    Returns:
        `(num_people, 4)`, left, top, right and bottom (exclusive) in image pixels, whole numbers in float64; without
        width or height for a crop that lies outside its image; and `(num_people,)`, whether a crop reaches beyond it.
    """
    extents = matrices[:, :, :2] * matrices.new_tensor([crop_size[1] - 1, crop_size[0] - 1])  # (n, 2, 2)
    first = matrices[:, :, 2] + extents.clamp(max=0).sum(-1)  # (n, 2) smallest x and y
    last = matrices[:, :, 2] + extents.clamp(min=0).sum(-1)
    limits = image_sizes.to(matrices).flip(-1)  # widths and heights
    cut_off = (first < 0).any(-1) | (last > limits - 1).any(-1)
    first = (first.floor() - 1).clamp(min=0).minimum(limits)  # one pixel of margin for rounding
    last = (last.ceil() + 2).clamp(min=0).minimum(limits)
    return torch.cat([first, last.maximum(first)], dim=-1), cut_off


class _SamplingPlan(NamedTuple):
    """How `n` crops are sampled, in groups that share a region of pixels."""

    regions: list[list[int]]  # of each group: left, top, right, bottom (exclusive)
    maps: Tensor  # (n, 2, 3) from crop pixels to grid_sample's coordinates in the region
    limits: list[tuple[float, float]]  # of each group: x and y beyond these lie outside the region
    turned: list[bool]  # of each group: whether a crop is rotated
    cut_off: list[bool]  # of each group: whether a crop reaches beyond its image


def _plan_sampling(matrices: Tensor, crop_size: tuple[int, int], image_sizes: Tensor, group: int) -> _SamplingPlan:
    regions, cut_off = covering_regions(matrices, crop_size=crop_size, image_sizes=image_sizes)
    if group > 1:
        regions = torch.cat([regions[:, :2].amin(0), regions[:, 2:].amax(0)]).expand(group, -1)
    sizes = (regions[:, 2:] - regions[:, :2]).clamp(min=1)  # (n, 2)
    # grid_sample's frame without align_corners: pixel p lies at (2 p + 1) / size - 1.
    linear = matrices[:, :, :2] * (2 / sizes)[:, :, None]  # (n, 2, 2)
    offset = (2 * (matrices[:, :, 2] - regions[:, :2]) + 1) / sizes - 1  # (n, 2)
    tolerance_px = _BORDER_TOLERANCE * image_sizes.amax(-1, keepdim=True)  # (n, 1)
    turned = (matrices[:, [0, 1], [1, 0]] != 0).any(-1)  # (n,)
    return _SamplingPlan(
        regions=regions[::group].long().tolist(),
        maps=torch.cat([linear, offset[:, :, None]], dim=-1),
        limits=(1 - (1 - 2 * tolerance_px) / sizes)[::group].tolist(),
        turned=turned.view(-1, group).any(-1).tolist(),
        cut_off=cut_off.view(-1, group).any(-1).tolist(),
    )


def _sampling_grid(
    maps: Tensor, limits: tuple[float, float] | None, crop_size: tuple[int, int], *, turned: bool
) -> Tensor:
    """grid_sample's grid `(n, h, w, 2)` of x and y, float32; points beyond the limits, if there are any, lie far away.

    Without rotation x is the same in all rows and y in all columns, so that less is computed.
    """
    height, width = crop_size
    grid = maps.new_empty((len(maps), height, width, 2))
    columns = torch.arange(width, dtype=maps.dtype, device=maps.device)  # (w,)
    rows = torch.arange(height, dtype=maps.dtype, device=maps.device)[:, None]  # (h, 1)
    for axis, (by_column, by_row, start) in enumerate(maps[..., None, None].permute(1, 2, 0, 3, 4)):  # (n, 1, 1) each
        along, down = start + by_column * columns, by_row * rows  # (n, 1, w), (n, h, 1)
        straight = along if axis == 0 else start + down  # (n, 1, w) or (n, h, 1)
        places = along + down if turned else straight
        if limits is not None:  # several times as fast as a mask
            torch.threshold_(places, -limits[axis], _FAR_OUTSIDE)
            torch.threshold_(places.neg_(), -limits[axis], _FAR_OUTSIDE).neg_()
        grid[..., axis] = places
    return grid


def sample_ragged(pixels: Tensor, sizes: Tensor, matrices: Tensor, *, crop_size: tuple[int, int]) -> Tensor:
    """As [`sample_crops`], from an image for each crop, all of them in one go, for devices where a call has its price.

    Args:
        pixels: `(num_pixels, 3)`, those of all images behind each other, row by row, of any type.
        sizes: `(num_people, 2)`, heights and widths of the images in pixels.
        matrices: `(num_people, 2, 3)` from crop to image pixels, float32.
        crop_size: Height and width of the crops in pixels.

    Returns:
        float32 `(num_people, 3, height, width)`, unrounded; 0 outside the image.
    """
    height, width = crop_size
    columns = torch.arange(width, device=pixels.device)  # (w,)
    rows = torch.arange(height, device=pixels.device)[:, None]  # (h, 1)
    heights, widths = sizes[:, :, None, None].unbind(1)  # (n, 1, 1)
    starts = (heights * widths).cumsum(0) - heights * widths  # (n, 1, 1) of each region in the pixels

    tolerance = _BORDER_TOLERANCE * sizes.amax(-1)[:, None, None]  # (n, 1, 1) pixels

    def neighbors(axis: int, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Along x or y, (n, h, w) each: the pixels before and behind, the way from the first, if inside."""
        by_column, by_row, start = matrices[:, axis, :, None, None].unbind(1)  # (n, 1, 1)
        places = by_column * columns + by_row * rows + start
        last = lengths - 1
        inside = (places >= -tolerance) & (places <= last + tolerance)
        places = places.clamp(min=0).minimum(last)
        before = places.long()
        return before, (before + 1).minimum(last), places - before, inside

    left, right, across, inside_x = neighbors(0, widths)
    top, bottom, down, inside_y = neighbors(1, heights)

    def row_of(y: Tensor) -> Tensor:
        """(n, h, w, 3) between left and right."""
        first = starts + y * widths
        return torch.lerp(pixels[first + left].float(), pixels[first + right].float(), across[..., None])

    crops = torch.lerp(row_of(top), row_of(bottom), down[..., None])
    return (crops * (inside_x & inside_y)[..., None]).permute(0, 3, 1, 2).contiguous()
