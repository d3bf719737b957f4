"""Mirroring: pairs become an index, and heatmaps of mirrored crops come back into the frame of the crops."""

import pytest
import torch

from vitpose import get_keypoint_schema
from vitpose.modeling.flipping_vitpose import flip_heatmaps
from vitpose.modeling.keypoint_schemas import flip_index_of


def test_pairs_swap_and_the_others_stay() -> None:
    assert flip_index_of([(0, 2), (1, 4)], 5) == (2, 4, 0, 3, 1)
    coco = get_keypoint_schema("coco")
    assert coco.flip_index == flip_index_of(coco.to_dict()["flip_pairs"], 17)


def test_mirrored_heatmaps_come_back_with_left_and_right_swapped() -> None:
    maps = torch.arange(12.0).reshape(1, 3, 1, 4)
    found = flip_heatmaps(maps, (0, 2, 1))
    assert found[0, :, 0].tolist() == [[3, 2, 1, 0], [11, 10, 9, 8], [7, 6, 5, 4]]


def test_without_udp_mirrored_heatmaps_move_right_by_a_pixel() -> None:
    maps = torch.tensor([[[[0.0, 1, 2, 3]]]])
    assert flip_heatmaps(maps, (0,), use_udp=False)[0, 0].tolist() == [[3, 3, 2, 1]]


@pytest.mark.parametrize("index", [(0, 1), (0, 1, 1), (0, 1, 3)])
def test_other_indices_are_refused(index: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"flip_index: expected a permutation of range\(3\)"):
        flip_heatmaps(torch.zeros(1, 3, 4, 4), index)
