"""Properties that hold for every box, size and type of image: named errors or people, never a count that changes."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitpose import ViTPoseImageProcessor

PROCESSOR = ViTPoseImageProcessor(size={"height": 32, "width": 24})
QUICK = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

number = st.floats(allow_nan=True, allow_infinity=True, width=64)
coordinate = st.one_of(st.floats(-300, 300), number)
side = st.one_of(st.floats(0.01, 300), number)
box = st.tuples(coordinate, coordinate, side, side)
dtypes = st.sampled_from([np.uint8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64])


@st.composite
def images(draw) -> np.ndarray:
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    channels = draw(st.sampled_from([None, 1, 3, 4]))
    shape = (height, width) if channels is None else draw(st.sampled_from([(height, width, channels)]))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape)
    return values.astype(draw(dtypes))


@QUICK
@given(image=images(), boxes=st.lists(box, max_size=4))
def test_boxes_become_as_many_crops_or_a_named_error(image, boxes):
    try:
        crops = PROCESSOR(image, boxes=[boxes], input_data_format="channels_last").pixel_values
    except ValueError as error:
        assert "boxes[0][" in str(error), "the error must name the box"
        return
    assert crops.shape == (len(boxes), 3, 32, 24)
    assert crops.isfinite().all()


@QUICK
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 20), st.integers(1, 20)),
    scale=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e4, 1e30]),
    shift=st.sampled_from([0.0, -1.0, 1.0]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    seed=st.integers(0, 99),
    threshold=st.one_of(st.none(), st.floats(0, 1)),
    use_udp=st.booleans(),
)
def test_maps_become_as_many_people_near_their_peaks_or_a_named_error(
    shape, scale, shift, dtype, seed, threshold, use_udp
):
    maps = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale + shift).to(dtype)
    boxes = [[10.0, 20.0, 30.0, 40.0]] * shape[0]
    processor = ViTPoseImageProcessor(size={"height": 80, "width": 80}, use_udp=use_udp)
    wrong = min(shape[2:]) == 1 or not maps.isfinite().all()
    try:
        (people,) = processor.post_process_pose_estimation(maps, boxes=[boxes], threshold=threshold)
    except ValueError as error:
        assert wrong, f"no mistake in the input, but: {error}"
        return
    assert [person["keypoints"].shape for person in people] == [(shape[1], 2)] * shape[0]
    for person in people:
        assert person["keypoints"].isfinite().all()
        assert ((person["scores"] >= 0) & person["scores"].isfinite()).all()
        reach = 40 * 1.25 * (1 + 2 / min(max(shape[2] - 1, 1), max(shape[3] - 1, 1)))  # the footprint and a map pixel
        assert ((person["keypoints"] - torch.tensor([25.0, 40.0])).abs() <= reach).all()


@QUICK
@given(
    boxes=st.lists(
        st.tuples(st.floats(-50, 400), st.floats(-50, 400), st.floats(4, 500), st.floats(4, 500)),
        min_size=1,
        max_size=8,
    ),
    places=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
def test_keypoints_in_the_crop_come_back(boxes, places):
    """Box, targets, decoding, back to the image: within 0.003 heatmap pixels, up to the very edge of the crop."""
    processor = ViTPoseImageProcessor()
    boxes = [(x, y, w, h) for x, y, w, h in boxes if x + w > 0 and y + h > 0 and x < 450 and y < 450]
    table = torch.tensor(boxes, dtype=torch.float64).view(-1, 4)
    sides = torch.maximum(table[:, 2], table[:, 3] * 0.75)[:, None] * 1.25 * torch.tensor([1.0, 4 / 3])  # (n, 2)
    corners = table[:, :2] + table[:, 2:] / 2 - sides / 2
    points = corners[:, None] + sides[:, None] * torch.tensor(places, dtype=torch.float64)  # (n, k, 2)
    keypoints = torch.cat([points, torch.full((*points.shape[:2], 1), 2.0)], dim=-1)
    batch = processor(np.zeros((450, 450, 3), dtype=np.uint8), boxes=[boxes], keypoints=[keypoints])
    (people,) = processor.post_process_pose_estimation(batch.labels, boxes=[boxes])
    for person, expected, size in zip(people, points, sides, strict=True):
        error = (person["keypoints"] - expected).abs() / (size / torch.tensor([47.0, 63.0]))
        assert error.max() < 0.003
