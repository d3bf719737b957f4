"""The one path from pixels to people: boxes become crops, a model makes heatmaps of them, and these become keypoints.

Everything that predicts, trains or measures comes through here, by the settings of one processor.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from vitpose.base.errors import PlacedError
from vitpose.modeling.flipping_vitpose import flip_heatmaps
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .geometry_vitpose import covering_regions, crop_matrices, heatmap_to_crop, sample_crops, transform_points
from .heatmaps_vitpose import decode_heatmaps, decode_heatmaps_quarter_offset
from .images_vitpose import rgb_region
from .people_vitpose import Detections, People
from .processor_settings_vitpose import HEATMAP_STRIDE, ProcessorSettings

_Photo = TypeVar("_Photo")


@dataclass(frozen=True, kw_only=True)
class Crops:
    """N people, cut out of their photos.

    Args:
        pixel_values: `(N, 3, height, width)`, rescaled and normalized, ready for the model.
        matrices: `(N, 2, 3)` float64 on the CPU, from crop pixels to image pixels.
        boxes_xywh: `(N, 4)` float64 on the CPU, left, top, width and height in image pixels.
    """

    pixel_values: Tensor
    matrices: Tensor
    boxes_xywh: Tensor


def cut_crops(
    image: Tensor | Image.Image,
    boxes_xywh: Tensor,
    settings: ProcessorSettings,
    *,
    image_index: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Crops:
    """Cut the people out of one photo.

    Args:
        image: `(3, height, width)` RGB, uint8, or float32 in the range that the settings expect; or an upright PIL
            image, of which no more is converted than the crops need.
        boxes_xywh: `(N, 4)` float64, left, top, width and height in image pixels.
        settings: How.
        image_index: The image's place in a batch, for messages.
        device: Where to cut; None cuts where the pixels are.
        dtype: Type of the crops.

    Raises:
        ValueError: A box lies outside the image.
    """
    matrices = crop_matrices(boxes_xywh, settings)
    size = (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[1], image.shape[2])
    limits = boxes_xywh.new_tensor([size[1], size[0]])
    outside = ((boxes_xywh[:, :2] >= limits) | (boxes_xywh[:, :2] + boxes_xywh[:, 2:] <= 0)).any(-1)
    vast = (matrices[:, [0, 1], [0, 1]] > limits).any(-1)  # width and height of a crop pixel
    if outside.any() or vast.any():
        _raise_invalid_box(boxes_xywh, torch.stack([outside, vast], dim=1), image_index, size)
    pixels, into_pixels = (image, matrices) if isinstance(image, Tensor) else _covered(image, matrices, settings)
    pixels = pixels if device is None else pixels.to(device)
    gain, bias = settings.normalization
    pixel_values = sample_crops(pixels, into_pixels, crop_size=settings.crop_size, gain=gain, bias=bias, dtype=dtype)
    return Crops(pixel_values=pixel_values, matrices=matrices, boxes_xywh=boxes_xywh)


def _raise_invalid_box(boxes_xywh: Tensor, invalid: Tensor, image_index: int, size: tuple[int, int]) -> None:
    """Name the first of the invalid boxes `(N, 2)`: those outside the image, and those whose crop shows none of it."""
    person, reason = invalid.nonzero()[0].tolist()
    is_vast = "is so large that the whole image falls between two crop pixels"
    raise PlacedError(
        f"= {boxes_xywh[person].tolist()} {is_vast if reason else 'lies wholly outside the image'} (height {size[0]}, "
        f"width {size[1]}): boxes are [x, y, width, height] in image pixels.",
        ("boxes", image_index, person),
        " ",
    )


def _covered(image: Image.Image, matrices: Tensor, settings: ProcessorSettings) -> tuple[Tensor, Tensor]:
    """What the crops need of an image as a tensor, and the matrices `(N, 2, 3)` into that."""
    sizes = matrices.new_tensor([image.height, image.width])
    regions, _ = covering_regions(matrices, crop_size=settings.crop_size, image_sizes=sizes)
    corner = regions[:, :2].amin(0)
    region = torch.cat([corner, regions[:, 2:].amax(0)]).int().tolist()
    into_region = torch.cat([matrices[:, :, :2], matrices[:, :, 2:] - corner[:, None]], dim=-1)
    return rgb_region(image, region, do_rescale=settings.do_rescale), into_region


@torch.no_grad()
def predict_heatmaps(
    models: nn.Module | Sequence[nn.Module],
    pixel_values: Tensor,
    *,
    dataset_index: int | Tensor | None = None,
    flip_index: Sequence[int] | None = None,
    use_udp: bool = True,
) -> Tensor:
    """Run one model or an ensemble on crops, with or without the flip test.

    Args:
        models: A pose model, or several that predict the same keypoints on heatmaps of one size; they count alike.
        pixel_values: `(num_people, 3, height, width)`, on the models' device and in their type.
        dataset_index: Whose keypoints to predict, for models of several datasets: a number, or one a crop.
        flip_index: The schema's `flip_index`, to average with the heatmaps of the mirrored crops; None leaves them out.
        use_udp: False for models that were trained without UDP, whose mirrored maps lie a pixel aside.

    Returns:
        `(num_people, num_keypoints, height, width)`, the models' type, heatmap pixels.

    Raises:
        ValueError: No model at all, or models whose heatmaps differ in shape.
    """
    models = [models] if isinstance(models, nn.Module) else list(models)
    if not models:
        raise ValueError("models must be a pose model or a sequence of them, got an empty one.")
    chosen = {} if dataset_index is None else {"dataset_index": dataset_index}
    maps: list[Tensor] = []
    for model in models:
        maps.append(model(pixel_values, **chosen).heatmaps)
        if flip_index is not None:
            mirrored = model(pixel_values.flip(-1), **chosen).heatmaps
            maps.append(flip_heatmaps(mirrored, flip_index, use_udp=use_udp))
        if maps[-1].shape != maps[0].shape:
            raise ValueError(
                f"models of an ensemble must give heatmaps of one shape, got {tuple(maps[0].shape)} and "
                f"{tuple(maps[-1].shape)}: combine models of the same keypoints and crop size."
            )
    return maps[0] if len(maps) == 1 else torch.stack(maps).mean(0)


def decode(heatmaps: Tensor, settings: ProcessorSettings) -> tuple[Tensor, Tensor]:
    """Keypoints `(N, K, 2)` in heatmap pixels and their scores `(N, K)`, on their device, as the settings say."""
    if not settings.use_udp:
        return decode_heatmaps_quarter_offset(heatmaps)
    return decode_heatmaps(heatmaps, blur_sigma=settings.dark_sigma, blur_kernel=settings.blur_kernel)


def locate_keypoints(heatmaps: Tensor, matrices: Tensor, settings: ProcessorSettings) -> tuple[Tensor, Tensor]:
    """Keypoints in the photo, from the heatmaps of its crops.

    Args:
        heatmaps: `(N, K, height, width)`, any floating type and device.
        matrices: `(N, 2, 3)` from crop pixels to image pixels.
        settings: Those that the crops were cut by.

    Returns:
        Keypoints `(N, K, 2)` as x and y in image pixels and their scores `(N, K)`, both float32 on the CPU.

    Raises:
        ValueError: A heatmap holds NaN or infinity.
    """
    points, scores = decode(heatmaps, settings)
    heatmap_size = (heatmaps.shape[-2], heatmaps.shape[-1])
    scale = heatmap_to_crop(settings.crop_size, heatmap_size, use_udp=settings.use_udp)
    return transform_points(points.cpu().double() * scale, matrices.double()).float(), scores.cpu()


@dataclass(frozen=True, kw_only=True)
class PosePredictor:
    """A model, or an ensemble, that finds the keypoints of one dataset in photos.

    Args:
        models: In evaluation mode; their heatmaps are averaged.
        settings: Of the processor that they were trained with.
        schema: The keypoints that they predict.
        dataset_index: Whose keypoints to predict, for models of several datasets.
        flip_test: Average with the heatmaps of the mirrored crops, as benchmarks do, at twice the time.
        device: Where the models are.
        dtype: Their type.
    """

    models: nn.Module | Sequence[nn.Module]
    settings: ProcessorSettings
    schema: KeypointSchema
    dataset_index: int | None = None
    flip_test: bool = False
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    def heatmaps(self, pixel_values: Tensor) -> Tensor:
        """Heatmaps `(N, K, height, width)` of crops `(N, 3, height, width)`; they stay on the models' device."""
        return predict_heatmaps(
            self.models,
            pixel_values.to(self.device),
            dataset_index=self.dataset_index,
            flip_index=self.schema.flip_index if self.flip_test else None,
            use_udp=self.settings.use_udp,
        )

    def __call__(self, image: Tensor | Image.Image, found: Detections, *, batch_size: int = 32) -> People:
        """The people of one photo, whose boxes are known."""
        crops = cut_crops(image, found.boxes_xywh, self.settings, device=self.device, dtype=self.dtype)
        ((_, people),) = self.stream([(None, crops, found)], batch_size=batch_size)
        return people

    def stream(
        self,
        photos: Iterable[tuple[_Photo, Crops, Detections]],
        *,
        batch_size: int = 32,
        max_waiting: int | None = None,
    ) -> Iterator[tuple[_Photo, People]]:
        """The people of photo after photo, as soon as they are complete; batches are filled across photos.

        Args:
            photos: Of each what stands for it, its crops and the detections that they are of; read as the batches need
                them. An error in reading them is raised when the people of the photos before it are complete.
            batch_size: People in one forward pass.
            max_waiting: Photos that are read before a batch runs that is not full; by default `batch_size`.

        Returns:
            What stands for each photo, and its people.
        """
        max_waiting = batch_size if max_waiting is None else max_waiting
        waiting: deque[tuple[_Photo, Detections]] = deque()
        queues: tuple[list[Tensor], list[Tensor]] = ([], [])  # crops of waiting photos' people, and their matrices
        located = torch.zeros(0, self.schema.num_keypoints, 3)  # those of their people that are predicted
        source, is_last, error = iter(photos), False, None
        while not is_last:
            try:
                photo, crops, found = next(source)
                waiting.append((photo, found))
                queues[0].append(crops.pixel_values)
                queues[1].append(crops.matrices)
            except StopIteration:
                is_last = True
            except (TypeError, ValueError, OSError) as raised:
                is_last, error = True, raised
            # photos without people must not pile up behind one whose batch does not fill
            all_now = is_last or len(waiting) >= max_waiting
            while (ready := sum(map(len, queues[0]))) >= batch_size or (all_now and ready):
                pixel_values, matrices = (_take(queue, batch_size) for queue in queues)
                keypoints_xy, scores = locate_keypoints(self.heatmaps(pixel_values), matrices, self.settings)
                located = torch.cat([located, torch.cat([keypoints_xy, scores[..., None]], dim=2)])
            while waiting and (count := len(waiting[0][1].labels)) <= len(located):
                photo, found = waiting.popleft()
                own, located = located[:count], located[count:]
                yield (
                    photo,
                    People(
                        keypoints_xy=own[..., :2],
                        scores=own[..., 2],
                        boxes_xywh=found.boxes_xywh,
                        box_scores=found.scores,
                        labels=found.labels,
                        schema=self.schema,
                    ),
                )
        if error is not None:
            raise error


def _take(queue: list[Tensor], count: int) -> Tensor:
    """Take the first `count` rows of the tensors in a queue."""
    joined = queue[0] if len(queue) == 1 else torch.cat(queue)
    queue[:] = [joined[count:]]
    return joined[:count]


def check_fits(settings: ProcessorSettings, config: Any, source: str) -> None:
    """Raise a `ValueError` where a processor does not cut the crops that a model takes, or draws other heatmaps.

    Args:
        settings: Of the processor.
        config: Of the model; its heatmaps are compared where the configuration tells their size.
        source: Folder of both, for the message.
    """
    expected = tuple(config.backbone_config.image_size)
    if settings.crop_size != expected:
        raise ValueError(
            f"{source}: the image_processor cuts crops of height and width {settings.crop_size}, the model takes "
            f"{expected}: load both from one folder, or save the processor with that size."
        )
    heatmaps = getattr(config, "heatmap_size", None)
    is_told = settings.heatmap_stride != HEATMAP_STRIDE  # the usual one is not saved, and stock has no such setting
    if is_told and heatmaps is not None and settings.heatmap_size != tuple(heatmaps):
        raise ValueError(
            f"{source}: the image_processor's heatmap_stride {settings.heatmap_stride} means heatmaps of height and "
            f"width {settings.heatmap_size}, the model gives {tuple(heatmaps)}: save the processor with heatmap_stride="
            f"{settings.crop_size[0] // heatmaps[0]}."
        )
