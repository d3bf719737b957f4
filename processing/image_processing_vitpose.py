"""Image processor for ViTPose: person boxes to normalised crops, heatmaps back to keypoints in the image."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ChannelDimension
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TensorType

from .annotations_vitpose import Boxes, Keypoints, check_boxes_meet_image, parse_boxes, parse_keypoints
from .geometry_vitpose import (
    box_to_center_and_size,
    covering_regions,
    crop_to_image_matrices,
    invert_matrices,
    move_origins,
    sample_crops,
    transform_points,
)
from .heatmaps_vitpose import decode_heatmaps, decode_heatmaps_quarter_offset, encode_heatmaps
from .images_vitpose import Images, ImageSource, cut_to_region, list_images, to_rgb_tensor, upright_pil
from .processor_settings_vitpose import (
    PixelKwargs,
    ViTPoseImageProcessorKwargs,
    gain_and_bias,
    is_service_entry,
    reject_unknown,
)

_BOX_PADDING = 1.25  # released configs
_SCALE_UNIT_PX = 200.0  # the released configs count box sides in units of 200 px; normalize_factor moves that unit
# Settings that stock does not have, with the value that it works by; saved only where they differ from it.
_BEYOND_STOCK = {"dark_sigma": 0.8, "heatmap_stride": 4, "use_udp": True}


class ViTPoseImageProcessor(BaseImageProcessor):
    """Cuts people out of photos for ViTPose and brings its heatmaps back into the photos' pixels.

    Crops are cut with unbiased data processing (UDP) by bilinear sampling, on the device of the image. They equal the
    stock VitPose processor's up to its rounding to whole grey levels. Folders saved by either class load in the other;
    a `dark_sigma` other than stock's 0.8 is a setting that stock ignores. With `use_udp=False`, which stock cannot do,
    the folder names this class instead of stock's, so that stock refuses it.

    Settings: see [`ViTPoseImageProcessorKwargs`].
    """

    model_input_names = ["pixel_values"]
    valid_kwargs = ViTPoseImageProcessorKwargs

    size = {"height": 256, "width": 192}
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    do_affine_transform = True
    normalize_factor = _SCALE_UNIT_PX
    dark_sigma = _BEYOND_STOCK["dark_sigma"]
    heatmap_stride = _BEYOND_STOCK["heatmap_stride"]
    use_udp = _BEYOND_STOCK["use_udp"]

    def __init__(self, **kwargs: Unpack[ViTPoseImageProcessorKwargs]) -> None:
        super().__init__()
        settings = {name: value for name, value in kwargs.items() if not is_service_entry(name, value)}
        reject_unknown(settings, self.valid_kwargs, "ViTPoseImageProcessor")
        self._set_attributes(**settings)
        self._check_settings()

    def _check_settings(self) -> None:
        height, width = self.size.height, self.size.width
        if not (height and width and height > 1 and width > 1):
            raise ValueError(f"size must be a height and a width of at least 2 pixels, got {dict(self.size)}.")
        if not self.do_affine_transform:
            raise ValueError("do_affine_transform must be True: cutting out boxes is what ViTPoseImageProcessor does.")
        for name in ("rescale_factor", "normalize_factor", "dark_sigma", "heatmap_stride"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}.")
        gain_and_bias(self._call_settings({}))

    def preprocess(
        self,
        images: Images,
        boxes: Boxes,
        keypoints: Keypoints | None = None,
        *,
        return_tensors: str | TensorType | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        **pixel_settings: Unpack[PixelKwargs],
    ) -> BatchFeature:
        """Cut out every box of every image, and with `keypoints` make the targets to train on.

        Args:
            images: one image or a flat list: paths, URLs, PIL images, arrays or tensors, see [`to_rgb_tensor`] for
                modes, layouts and ranges. Float images hold 0..255, or any range with ``do_rescale=False``.
            boxes: for each image a list of ``[x, y, width, height]`` in image pixels; an image without people takes an
                empty list and adds no crops.
            keypoints: images -> people -> keypoints -> ``[x, y, visibility]`` in image pixels, with COCO's visibility 0
                not labelled, 1 hidden, 2 visible.
            return_tensors: ``"pt"`` (as None) or ``"np"``.
            input_data_format: ``"channels_first"`` or ``"channels_last"`` of arrays and tensors; None looks at their
                shape.
            device: where to cut the crops; None takes each image where it is.
            dtype: type of the crops, such as the model's `torch.bfloat16`; None is float32.
            pixel_settings: `do_rescale`, `rescale_factor`, `do_normalize`, `image_mean`, `image_std` for this call.

        Returns:
            `pixel_values` `(num_people, 3, height, width)`, the people of all images in order. With `keypoints`
            also `labels` `(num_people, num_keypoints, height / heatmap_stride, ...)` and `label_weights`
            `(num_people, num_keypoints)`, see [`encode_heatmaps`].
        """
        settings = self._call_settings(pixel_settings)
        as_numpy = return_tensors is not None and TensorType(return_tensors) is TensorType.NUMPY
        dtype = _checked_dtype(dtype, as_numpy)
        images = list_images(images)
        tables = parse_boxes(boxes, num_images=len(images))
        matrices = self._matrices(_join(tables), self._crop_size)  # (num_people, 2, 3)
        people = zip(images, tables, matrices.split([len(table) for table in tables]), strict=True)
        crops = [
            self._cut(image, index, table, own, settings, layout=input_data_format, device=device, dtype=dtype)
            for index, (image, table, own) in enumerate(people)
            if len(table)
        ]
        pixel_values = _concatenate(crops, self._crop_size, dtype)
        data = {"pixel_values": pixel_values}
        if keypoints is not None:
            targets = self._targets(parse_keypoints(keypoints, boxes=tables), matrices)
            data |= {name: target.to(pixel_values.device) for name, target in targets.items()}
        if as_numpy:
            data = {name: values.cpu() for name, values in data.items()}
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _cut(
        self,
        image: ImageSource,
        index: int,
        table: Tensor,
        matrices: Tensor,
        settings: dict[str, Any],
        *,
        layout: str | ChannelDimension | None,
        device: str | torch.device | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """The crops `(num_people, 3, height, width)` of one image's boxes, through their matrices into the image."""
        size = self._crop_size
        pixels, matrices = _load(
            image,
            index,
            table=table,
            matrices=matrices,
            crop_size=size,
            layout=layout,
            do_rescale=settings["do_rescale"],
        )
        pixels = pixels.to(device)
        gain, bias = (value.to(pixels.device) for value in gain_and_bias(settings))
        return sample_crops(pixels, matrices, crop_size=size, gain=gain, bias=bias, dtype=dtype)

    def _call_settings(self, changes: PixelKwargs) -> dict[str, Any]:
        """The processor's pixel settings with the changes of one call."""
        for name in changes:
            if name in self.valid_kwargs.__annotations__ and name not in PixelKwargs.__annotations__:
                raise ValueError(
                    f"{name} cannot change in a single call, because post-processing must agree: set it where the "
                    f"processor is made, ViTPoseImageProcessor({name}=...)."
                )
        reject_unknown(changes, PixelKwargs, "ViTPoseImageProcessor.preprocess")
        settings = {name: getattr(self, name) for name in PixelKwargs.__annotations__}
        return settings | {name: value for name, value in changes.items() if value is not None}

    @property
    def _crop_size(self) -> tuple[int, int]:
        return self.size.height, self.size.width

    def _matrices(self, boxes_xywh: Tensor, grid_size: tuple[int, int]) -> Tensor:
        """Maps `(num_people, 2, 3)` from a grid over the crop's footprint (crop or heatmap pixels) to image pixels."""
        padding = _BOX_PADDING * _SCALE_UNIT_PX / self.normalize_factor
        centers, sizes = box_to_center_and_size(boxes_xywh, crop_size=self._crop_size, padding=padding)
        return crop_to_image_matrices(centers, sizes, crop_size=grid_size, use_udp=self.use_udp)

    def _targets(self, keypoints: list[Tensor], matrices: Tensor) -> dict[str, Tensor]:
        people = torch.cat(keypoints) if keypoints else torch.zeros(0, 0, 3)  # (num_people, num_keypoints, 3)
        points = transform_points(people[..., :2], invert_matrices(matrices)).float()  # crop pixels
        height, width = self._crop_size
        heatmap_size = (height // self.heatmap_stride, width // self.heatmap_stride)
        labels, weights = encode_heatmaps(
            points, people[..., 2], crop_size=self._crop_size, heatmap_size=heatmap_size, use_udp=self.use_udp
        )
        return {"labels": labels, "label_weights": weights}

    def post_process_pose_estimation(
        self,
        outputs: ModelOutput | Tensor,
        boxes: Boxes,
        kernel_size: int = 11,
        threshold: float | None = None,
        target_sizes: Sequence[Sequence[int]] | Tensor | None = None,
        *,
        dark_sigma: float | None = None,
        drop_below_threshold: bool = False,
    ) -> list[list[dict[str, Tensor]]]:
        """Keypoints in image pixels from a model's heatmaps.

        Args:
            outputs: heatmaps `(num_people, num_keypoints, height, width)`, people in the order of `boxes`, or a model's
                output that holds them.
            boxes: for each image a list of ``[x, y, width, height]``, those given to [`preprocess`].
            kernel_size: width of the blur before the sub-pixel step, in heatmap pixels, odd.
            threshold: keypoints that do not score above it get score 0 and keep their place, so that all people keep
                all keypoints.
            target_sizes: `(height, width)` of each image in pixels, where `boxes` are fractions of the image.
            dark_sigma: deviation of that blur in heatmap pixels; None is the processor's own.
            drop_below_threshold: remove those keypoints instead, as the stock processor does; `labels` then says which
                ones are left.

        Returns:
            For each image a list of people: `keypoints` `(num_keypoints, 2)` as x, y in image pixels, `scores` and
            `labels` (their indices) `(num_keypoints,)`, `bbox` `(4,)` as left, top, right, bottom. All on the CPU.

        Raises:
            TypeError, ValueError: heatmaps that hold NaN, or are not one per box; boxes that are none.
        """
        if drop_below_threshold and threshold is None:
            raise ValueError("drop_below_threshold=True needs a threshold.")
        tables = _scale_to_pixels(parse_boxes(boxes), target_sizes)
        boxes_xywh = _join(tables)
        heatmaps = _heatmaps(outputs, num_people=len(boxes_xywh))
        sigma = self.dark_sigma if dark_sigma is None else dark_sigma
        points, scores = self.decode(heatmaps, dark_sigma=sigma, kernel_size=kernel_size)
        matrices = self._matrices(boxes_xywh, tuple(heatmaps.shape[-2:]))
        keypoints = transform_points(points.cpu().double(), matrices).float()  # (num_people, num_keypoints, 2)
        boxes_xyxy = torch.cat([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], dim=1).float()
        people = _people(keypoints, scores.cpu(), boxes_xyxy, threshold, drop_below_threshold)
        return [list(islice(people, len(table))) for table in tables]

    def decode(
        self, heatmaps: Tensor, *, dark_sigma: float | None = None, kernel_size: int = 11
    ) -> tuple[Tensor, Tensor]:
        """Keypoints `(num_people, num_keypoints, 2)` in heatmap pixels and scores, on the device of the heatmaps.

        By [`decode_heatmaps`], or without UDP by [`decode_heatmaps_quarter_offset`].
        """
        if not self.use_udp:
            return decode_heatmaps_quarter_offset(heatmaps)
        return decode_heatmaps(heatmaps, blur_sigma=dark_sigma or self.dark_sigma, blur_kernel=kernel_size)

    def to_dict(self) -> dict[str, Any]:
        """The stock processor's settings, under its name; settings of our own only where they differ from its ways."""
        settings = super().to_dict()
        settings["image_processor_type"] = "VitPoseImageProcessor" if self.use_udp else type(self).__name__
        known = {*self.valid_kwargs.__annotations__, "image_processor_type"}
        return {name: value for name, value in settings.items() if name in known and _BEYOND_STOCK.get(name) != value}


def _join(tables: list[Tensor]) -> Tensor:
    return torch.cat([*tables, torch.zeros(0, 4, dtype=torch.float64)])  # (num_people, 4), also without any image


def _load(
    image: ImageSource,
    index: int,
    *,
    table: Tensor,
    matrices: Tensor,
    crop_size: tuple[int, int],
    layout: str | ChannelDimension | None,
    do_rescale: bool,
) -> tuple[Tensor, Tensor]:
    """What the crops need of an image as [`to_rgb_tensor`], and the matrices `(num_people, 2, 3)` into it.

    The image's place in the batch is in every message.
    """
    try:
        opened = upright_pil(image)
        if opened is None:
            pixels = to_rgb_tensor(image, input_data_format=layout, do_rescale=do_rescale)
            check_boxes_meet_image(table, index, image_size=tuple(pixels.shape[1:]), matrices=matrices)
            return pixels, matrices
        size = opened.height, opened.width
        check_boxes_meet_image(table, index, image_size=size, matrices=matrices)
        regions = covering_regions(matrices, crop_size=crop_size, image_sizes=matrices.new_tensor(size))
        region = torch.cat([regions[:, :2].amin(0), regions[:, 2:].amax(0)]).int().tolist()
        part, corner = cut_to_region(opened, region)
        return to_rgb_tensor(part, do_rescale=do_rescale), move_origins(matrices, matrices.new_tensor(corner))
    except (TypeError, ValueError) as error:
        if str(error).startswith("boxes["):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"images[{index}]: {error}") from error


def _checked_dtype(dtype: torch.dtype | None, as_numpy: bool) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be a floating type of torch, such as torch.bfloat16, got {dtype!r}.")
    if as_numpy and dtype not in (torch.float16, torch.float32, torch.float64):
        raise ValueError(f"dtype: numpy has no {dtype}: take torch.float32 or torch.float16, or return_tensors='pt'.")
    return dtype


def _concatenate(crops: list[Tensor], crop_size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    devices = {str(crop.device) for crop in crops}
    if len(devices) > 1:
        raise ValueError(
            f"images must be on one device, got {sorted(devices)}: pass device=... to bring them together."
        )
    if len(crops) == 1:
        return crops[0]  # a copy would take as long as the normalisation
    return torch.cat(crops) if crops else torch.zeros((0, 3, *crop_size), dtype=dtype)


def _scale_to_pixels(tables: list[Tensor], target_sizes: Sequence[Sequence[int]] | Tensor | None) -> list[Tensor]:
    """Boxes in image pixels, from boxes that are fractions of images of the given `(height, width)`."""
    if target_sizes is None:
        return tables
    sizes = torch.as_tensor(target_sizes, dtype=torch.float64, device="cpu")
    if sizes.shape != (len(tables), 2) or not (sizes > 0).all():
        raise ValueError(
            f"target_sizes must be one positive (height, width) for each of the {len(tables)} images in boxes, got "
            f"{sizes.tolist()}."
        )
    return [table * size[[1, 0, 1, 0]] for table, size in zip(tables, sizes, strict=True)]


def _heatmaps(outputs: ModelOutput | Tensor, *, num_people: int) -> Tensor:
    heatmaps = outputs if isinstance(outputs, Tensor) else getattr(outputs, "heatmaps", None)
    if not isinstance(heatmaps, Tensor):
        raise TypeError(
            f"outputs must be a tensor of heatmaps, or hold it as `heatmaps`, got {type(outputs).__name__}."
        )
    if len(heatmaps) != num_people:
        raise ValueError(
            f"boxes must name the people of the heatmaps: got {num_people} boxes for {len(heatmaps)} people; pass the "
            f"same boxes to the processor and to post-processing."
        )
    return heatmaps


def _people(
    keypoints: Tensor, scores: Tensor, boxes_xyxy: Tensor, threshold: float | None, drop_below_threshold: bool
) -> Iterator[dict[str, Tensor]]:
    """The dicts that [`ViTPoseImageProcessor.post_process_pose_estimation`] returns, people one after the other."""
    labels = torch.arange(keypoints.shape[1])
    keep = torch.ones_like(scores, dtype=torch.bool) if threshold is None else scores > threshold  # (n, k)
    if not drop_below_threshold:
        scores = scores.where(keep, 0)
    for points, values, kept, box in zip(keypoints, scores, keep, boxes_xyxy, strict=True):
        if drop_below_threshold:
            yield {"keypoints": points[kept], "scores": values[kept], "labels": labels[kept], "bbox": box}
        else:
            yield {"keypoints": points, "scores": values, "labels": labels, "bbox": box}
