"""Keypoints to heatmaps and back: Gaussian targets, sub-pixel decoding, flip averaging. Batched over people and joints.

Frames: *crop* pixels (the network's input) and *heatmap* pixels (its output). With UDP a point moves between the two by
``heatmap = crop * (heatmap_size - 1) / (crop_size - 1)`` on each axis (ViTPose paper; released configs), in the older
scheme by ``heatmap = crop * heatmap_size / crop_size``.
"""

import math
from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .geometry_vitpose import heatmap_to_crop

_SUPPORT_SIGMAS = 3  # a target is zero further than this from its rounded center (released configs)
_LOG_RANGE = (0.001, 50.0)  # the blurred map is clipped to this before its logarithm is taken (released configs)
_MAX_STEP_PX = 1.0  # a Newton step is believed this far: its derivatives see one heatmap pixel to each side
_QUARTER_PX = 0.25  # the older decoding moves this far towards the higher neighbor (SimpleBaseline, HRNet)


def encode_heatmaps(
    keypoints_crop: Tensor,
    visibility: Tensor,
    *,
    crop_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float = 2.0,
    use_udp: bool = True,
) -> tuple[Tensor, Tensor]:
    """Gaussian targets around sub-pixel centers, zero beyond 3 sigma of the rounded center (released configs).

    Args:
        keypoints_crop: `(num_people, num_keypoints, 2)`, x and y in crop pixels. Unlabelled ones may be NaN.
        visibility: `(num_people, num_keypoints)`, COCO's flag: 0 not labelled, 1 hidden, 2 visible.
        crop_size: height and width of the crop in pixels.
        heatmap_size: height and width of the heatmaps in pixels.
        sigma: standard deviation in heatmap pixels.
        use_udp: False for the older scheme: centers on whole heatmap pixels, sizes instead of steps between the frames.

    Returns:
        Labels `(num_people, num_keypoints, height, width)` and weights `(num_people, num_keypoints)`, both float32. A
        weight is 1 where the keypoint is labelled and its support meets the map, else 0; its map is then all zero.
    """
    scale = heatmap_to_crop(crop_size, heatmap_size, use_udp=use_udp).to(keypoints_crop)
    centers = keypoints_crop / scale  # (n, k, 2) heatmap pixels
    if not use_udp:
        centers = (centers + 0.5).floor()
    labelled = visibility > 0
    centers = centers.masked_fill(~labelled[..., None], -math.inf)  # so far away that no support reaches the map
    profiles = []  # of x (n, k, w) and y (n, k, h)
    for length, center in zip(heatmap_size[::-1], centers[..., None].unbind(-2), strict=True):  # (n, k, 1)
        pixels = torch.arange(length, device=center.device, dtype=center.dtype)
        support = (pixels - (center + 0.5).floor()).abs() <= _SUPPORT_SIGMAS * sigma
        values = torch.exp(-((pixels - center) ** 2) / (2 * sigma**2))
        profiles.append(torch.where(support, values, 0).float())
    along, down = profiles
    inside = (along > 0).any(-1) & (down > 0).any(-1)
    return down[..., :, None] * along[..., None, :], inside.float()  # (n, k, h, w), (n, k)


@torch.no_grad()
def decode_heatmaps(heatmaps: Tensor, *, blur_sigma: float, blur_kernel: int = 11) -> tuple[Tensor, Tensor]:
    """Keypoints from heatmaps: highest pixel plus one DARK step on the logarithm of the blurred map.

    The map is blurred only where the step looks, in the 3x3 pixels around each peak. The step is taken only where the
    log map is concave, so that it leads to a maximum, and is at most 1 heatmap pixel on each axis: noise cannot throw
    a point away.

    Nothing beyond the map is made up: towards the border the blur narrows so that it stays inside, and a peak on the
    border looks at the 3x3 pixels beside it. A Gaussian's logarithm is a quadratic with or without blur, so keypoints
    near the border are found as exactly as those within. (The stock VitPose processor reflects the map there, and errs
    by up to 0.9 pixels within 6 pixels of the border; further inside both agree.)

    Args:
        heatmaps: `(num_people, num_keypoints, height, width)`, any floating type and device; may require grad.
        blur_sigma: standard deviation of the blur in heatmap pixels. Stock VitPose evaluates with 0.8; OpenCV's rule,
            which the released configs rely on, makes 2.0 of their kernel of 11.
        blur_kernel: width of the blur in heatmap pixels, odd.

    Returns:
        Keypoints `(num_people, num_keypoints, 2)` as x, y in heatmap pixels and scores `(num_people, num_keypoints)`,
        the value of each highest pixel; float32. A map without a positive value has no peak: score 0, the map's center.

    Raises:
        ValueError: wrong shape or blur, or a value that is not finite; the message names the people concerned.
    """
    maps = _flat_maps(heatmaps)  # (n * k, h, w)
    height, width = heatmaps.shape[-2:]
    device = maps.device.type
    # Half precision would move the points. Entering autocast's context for nothing costs as much as all else a person.
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
        x, y, scores = _highest_pixels(maps)  # (n * k,) each
        blurred = _blur_around(maps, x, y, blur_sigma, blur_kernel)  # (n * k, 3, 3)
        step_x, step_y = _newton_step(blurred.clamp(*_LOG_RANGE).log())
    offset_x = (_with_neighbors(x, width) - x + step_x).clamp(-_MAX_STEP_PX, _MAX_STEP_PX)
    offset_y = (_with_neighbors(y, height) - y + step_y).clamp(-_MAX_STEP_PX, _MAX_STEP_PX)
    points = torch.stack([x + offset_x, y + offset_y], dim=-1)
    # the blur is a product over the whole map, in which 0 * inf and 0 * nan are nan: its values see every pixel
    return _checked(points, scores, witness=scores + blurred[:, 1, 1], shape=heatmaps.shape)


@torch.no_grad()
def decode_heatmaps_quarter_offset(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints from heatmaps in the older way: highest pixel, moved a quarter pixel towards the higher neighbor.

    For models that were trained without UDP (`encode_heatmaps(..., use_udp=False)`). A peak on the border of an axis
    stays where it is on that axis.

    Args, returns and raises as [`decode_heatmaps`], without its blur.
    """
    maps = _flat_maps(heatmaps)  # (n * k, h, w)
    height, width = heatmaps.shape[-2:]
    x, y, scores = _highest_pixels(maps)  # (n * k,) each
    every = torch.arange(len(maps), device=maps.device)
    right, left = maps[every, y, (x + 1).clamp(max=width - 1)], maps[every, y, (x - 1).clamp(min=0)]
    below, above = maps[every, (y + 1).clamp(max=height - 1), x], maps[every, (y - 1).clamp(min=0), x]
    offset_x = (right - left).sign() * ((x > 0) & (x < width - 1)) * _QUARTER_PX
    offset_y = (below - above).sign() * ((y > 0) & (y < height - 1)) * _QUARTER_PX
    points = torch.stack([x + offset_x, y + offset_y], dim=-1)
    # a sum with NaN or infinity in it is not finite
    return _checked(points, scores, witness=maps.flatten(1).sum(-1), shape=heatmaps.shape)


def _checked(points: Tensor, scores: Tensor, *, witness: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Points `(n, k, 2)` and scores `(n, k)`, from those of all maps `(n * k, ...)` of a shape `(n, k, h, w)`.

    Raises where the witness of a map is not finite. A map without a positive value gives its center and score 0.
    """
    num_people, num_keypoints, height, width = shape
    if not (witness.isfinite() & (scores > 0)).all():  # one question to the device, nearly always with the same answer
        _check_finite(witness, num_keypoints)
        center = points.new_tensor([(width - 1) / 2, (height - 1) / 2])
        points = torch.where(scores[:, None] > 0, points, center)
        scores = scores.clamp(min=0)
    return points.view(num_people, num_keypoints, 2), scores.view(num_people, num_keypoints)


def _flat_maps(heatmaps: Tensor) -> Tensor:
    """All maps `(n * k, h, w)`, float32, without their history; raises where they have no such shape."""
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[1:]:
        raise ValueError(
            f"heatmaps must have shape (num_people, num_keypoints, height, width), got {tuple(heatmaps.shape)}."
        )
    return heatmaps.detach().float().flatten(0, 1)


def _check_finite(values: Tensor, num_keypoints: int) -> None:
    """Raise if one of the values, `(num_people * num_keypoints,)`, is not finite, with the people it belongs to."""
    finite = values.isfinite()
    if not finite.all():
        people = sorted({index // num_keypoints for index in (~finite).nonzero().flatten().tolist()})
        raise ValueError(f"heatmaps must be finite, but those of people {people} hold NaN or infinity.")


def _highest_pixels(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Columns, rows and values `(m,)` of the highest pixels of maps `(m, height, width)`."""
    flat, width = maps.flatten(1), maps.shape[-1]
    on_cpu = flat.device.type == "cpu"  # there numpy's argmax is 6 to 7 times faster than torch's
    index = torch.from_numpy(flat.numpy().argmax(1)) if on_cpu else flat.argmax(1)
    y = index // width
    return index - y * width, y, flat.gather(1, index[:, None]).squeeze(1)


def _blur_around(maps: Tensor, x: Tensor, y: Tensor, sigma: float, kernel: int) -> Tensor:
    """The blurred maps in the 3x3 pixels around each peak, `(m, 3, 3)`: (3 x h) @ (h x w) @ (w x 3)."""
    _, height, width = maps.shape
    rows = torch.from_numpy(_blur_table(height, sigma, kernel)).to(maps.device)[y]  # (m, 3, h)
    columns = torch.from_numpy(_blur_table(width, sigma, kernel)).to(maps.device)[x]  # (m, 3, w)
    return rows @ maps @ columns.transpose(1, 2)


@lru_cache(maxsize=32)
def _blur_table(length: int, sigma: float, kernel: int) -> np.ndarray:
    """`(length, 3, length)` float32: the weights of all pixels in the three blurred pixels around each position.

    Those are c - 1, c and c + 1, with c from [`_with_neighbors`]. All three are blurred alike, as widely as the kernel
    and the border allow.

    Raises:
        ValueError: There is no such blur.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"blur_sigma must be a positive number of heatmap pixels, got {sigma}; stock uses 0.8.")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"blur_kernel must be odd and positive, got {kernel}; the released configs use 11.")
    table = np.zeros((length, 3, length), dtype=np.float32)
    for position in range(length):
        center = min(max(position, 1), length - 2) if length > 2 else position
        radius = max(0, min(kernel // 2, center - 1, length - 2 - center))
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        for row, pixel in enumerate((center - 1, center, center + 1)):
            table[position, row, np.clip(pixel + offsets, 0, length - 1)] = weights / weights.sum()
    return table


def _with_neighbors(peaks: Tensor, length: int) -> Tensor:
    """On one axis, the pixels nearest to the peaks `(m,)` that have neighbors in the map on both sides.

    An axis of fewer than three pixels has none: there the peak stays, and its own pixel stands in for the neighbors.
    """
    return peaks.clamp(1, length - 2) if length > 2 else peaks


# Central differences d/dx, d/dy, d2/dx2, d2/dy2 and d2/dxdy, each as a row of weights for the nine pixels of a 3x3
# neighborhood. The mixed one is that of the stock VitPose processor; it is exact for a quadratic.
_DIFFERENCES = np.array(
    [
        [0, 0, 0, -0.5, 0, 0.5, 0, 0, 0],
        [0, -0.5, 0, 0, 0, 0, 0, 0.5, 0],
        [0, 0, 0, 1, -2, 1, 0, 0, 0],
        [0, 1, 0, 0, -2, 0, 0, 1, 0],
        [0.5, -0.5, 0, -0.5, 1, -0.5, 0, -0.5, 0.5],
    ],
    dtype=np.float32,
)


def _newton_step(log_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Steps in x and y `(m,)` from the center of 3x3 log maps `(m, 3, 3)` to the maximum of their quadratic model."""
    relative = (log_maps - log_maps[:, 1:2, 1:2]).flatten(1)  # (m, 9); large logarithms would cost digits
    differences = torch.from_numpy(_DIFFERENCES).to(relative.device) @ relative.T  # (5, m)
    dx, dy, dxx, dyy, dxy = differences.unbind()
    eps = torch.finfo(torch.float32).eps  # keeps flat maps invertible, as stock does
    dxx, dyy = dxx + eps, dyy + eps
    determinant = dxx * dyy - dxy * dxy
    concave = (dxx < 0) & (determinant > 0)
    scale = torch.where(concave, 1 / determinant, 0)
    return (dxy * dy - dyy * dx) * scale, (dxy * dx - dxx * dy) * scale
