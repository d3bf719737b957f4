"""Heatmaps of mirrored crops, brought back into the frame of the crops."""

from collections.abc import Sequence

import torch


def flip_heatmaps(heatmaps: torch.Tensor, flip_index: Sequence[int], *, use_udp: bool = True) -> torch.Tensor:
    """Mirror the heatmaps of mirrored crops back and swap left and right keypoints.

    Args:
        heatmaps: `torch.Tensor` of shape `(batch_size, num_keypoints, height, width)`, of the mirrored crops.
        flip_index: A permutation of `range(num_keypoints)`: `KeypointSchema.flip_index`.
        use_udp: With UDP the mirrored map fits as it is; without, it is shifted right by a pixel (released configs).

    Returns:
        `torch.Tensor` of the same shape, in heatmap pixels of the crops themselves.

    Raises:
        ValueError: `flip_index` is no such permutation.
    """
    num_keypoints = heatmaps.shape[1]
    if sorted(flip_index) != list(range(num_keypoints)):
        raise ValueError(
            f"flip_index: expected a permutation of range({num_keypoints}), got {list(flip_index)}. Take that of the "
            "keypoint schema."
        )
    mirrored = heatmaps[:, list(flip_index)].flip(-1)
    return mirrored if use_udp else torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)


def check_flip_pairs(flip_pairs: torch.Tensor | Sequence[Sequence[int]], num_keypoints: int) -> Sequence[Sequence[int]]:
    """The pairs as lists of ints.

    Raises:
        ValueError: They are not of shape `(n, 2)`, or name keypoints that do not exist.
    """
    if len(flip_pairs) == 0:  # a single hand has no pairs
        return []
    pairs = torch.as_tensor(flip_pairs)
    is_pairs = pairs.ndim == 2 and pairs.shape[1] == 2 and not pairs.is_floating_point()
    if not is_pairs or not ((pairs >= 0) & (pairs < num_keypoints)).all():
        raise ValueError(
            f"flip_pairs: expected pairs of indices from 0 to {num_keypoints - 1}, shape (n, 2), got {flip_pairs!r}."
        )
    return pairs.tolist()
