"""Object keypoint similarity (OKS), and suppression of duplicate poses by it.

OKS of two poses with keypoints d_k apart is the mean over keypoints of exp(-d_k^2 / (2 area (2 sigma_k)^2)), where
`area` is the person's area in square image pixels and sigma_k the spread of human labels (COCO's definition).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def oks_matrix(
    keypoints: npt.ArrayLike, targets: npt.ArrayLike, areas: npt.ArrayLike, *, sigmas: Sequence[float]
) -> np.ndarray:
    """Compute the OKS of every pose with every labeled person, as COCO does.

    Args:
        keypoints: `(N, K, 2)` predicted x, y in image pixels.
        targets: `(M, K, 3)` labeled x, y, visibility in image pixels; visibility 0 means not labeled.
        areas: `(M,)` areas of the labeled people in square image pixels.
        sigmas: K label spreads of the keypoint schema.

    Returns:
        `(N, M)` similarities in [0, 1]; NaN in the columns of people without a labeled keypoint.
    """
    points = _finite(keypoints, "keypoints")
    people = np.asarray(targets, dtype=np.float64)
    spreads = checked_sigmas(sigmas)
    _expect_shape(points, "keypoints", (None, len(spreads), 2))
    _expect_shape(people, "targets", (None, len(spreads), 3))
    sizes = _checked_areas(areas, len(people))
    labeled = people[:, :, 2] > 0  # (M, K)
    similarity = keypoint_similarity(points[:, None], people[None, :, :, :2], sizes, spreads)  # (N, M, K)
    counts = labeled.sum(axis=1)  # (M,)
    total = np.where(labeled, similarity, 0.0).sum(axis=2)  # (N, M)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def oks_nms(
    keypoints: npt.ArrayLike,
    scores: npt.ArrayLike,
    areas: npt.ArrayLike,
    *,
    sigmas: Sequence[float],
    threshold: float = 0.9,
    image_ids: npt.ArrayLike | None = None,
) -> np.ndarray:
    """Suppress repeated poses greedily: indices of those to keep, image by image, best score first.

    A pose is dropped when its OKS with a better one of its image that is kept exceeds `threshold`; the area of a pair
    is the mean of the two, which makes the similarity symmetric. Equal scores keep their order. All images go through
    it side by side, so that the rounds are as many as the poses kept in the fullest image.

    Args:
        keypoints: `(N, K, 2)` x, y in image pixels.
        scores: `(N,)` scores of the poses, see `People.person_scores`.
        areas: `(N,)` areas of the poses' boxes in square image pixels.
        sigmas: K label spreads of the keypoint schema.
        threshold: Similarity in [0, 1] above which two poses are the same person (released configs: 0.9).
        image_ids: `(N,)` numbers of the poses' images, in whose order the indices come; None: all are of one image.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must be a similarity in [0, 1], got {threshold}.")
    points, ranks = _finite(keypoints, "keypoints"), _finite(scores, "scores")
    spreads = checked_sigmas(sigmas)
    _expect_shape(points, "keypoints", (None, len(spreads), 2))
    sizes = _checked_areas(areas, len(points))
    _expect_shape(ranks, "scores", (len(points),))
    images = np.zeros(len(points)) if image_ids is None else _finite(image_ids, "image_ids")
    _expect_shape(images, "image_ids", (len(points),))
    order = remaining = np.lexsort((-ranks, images))  # by image, best first
    kept = np.zeros(len(points), dtype=bool)
    while len(remaining):
        best, others, rivals = _best_of_images(remaining, images)
        kept[best] = True
        pair_areas = (sizes[others] + sizes[rivals]) / 2
        similarity = keypoint_similarity(points[others], points[rivals], pair_areas, spreads).mean(axis=1)
        remaining = others[similarity <= threshold]
    return order[kept[order]]


def _best_of_images(remaining: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split poses into the first of each image and the others; also the first of the image for each of the others."""
    first = np.ones(len(remaining), dtype=bool)
    first[1:] = images[remaining[1:]] != images[remaining[:-1]]
    best = remaining[first]
    return best, remaining[~first], best[np.cumsum(first) - 1][~first]


def keypoint_similarity(points: np.ndarray, others: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Compute the similarity `(..., K)` of broadcastable points `(..., K, 2)`, with areas `(...)`."""
    squared = ((points - others) ** 2).sum(axis=-1)
    variances = (2 * sigmas) ** 2
    return np.exp(-squared / variances / (areas[..., None] + np.spacing(1)) / 2)


def checked_sigmas(sigmas: Sequence[float]) -> np.ndarray:
    """Check sigmas: `(K,)` positive numbers, or ValueError."""
    spreads = _finite(sigmas, "sigmas")
    if spreads.ndim != 1 or not len(spreads) or (spreads <= 0).any():
        raise ValueError(f"sigmas must be a flat list of positive numbers, one a keypoint, got {spreads.tolist()}.")
    return spreads


def _checked_areas(areas: npt.ArrayLike, count: int) -> np.ndarray:
    sizes = _finite(areas, "areas")
    _expect_shape(sizes, "areas", (count,))
    if (sizes < 0).any():
        raise ValueError(f"areas must be at least 0 square pixels, got {sizes.min()}.")
    return sizes


def _finite(values: npt.ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} NaN or infinite values.")
    return array


def _expect_shape(array: np.ndarray, name: str, shape: tuple[int | None, ...]) -> None:
    """Raise unless `array` has this shape; None stands for any length."""
    fits = array.ndim == len(shape) and all(want in (None, got) for got, want in zip(array.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}.")
