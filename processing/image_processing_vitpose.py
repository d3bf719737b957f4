"""Image processor for ViTPose: person boxes to normalized crops, heatmaps back to keypoints in the image."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ChannelDimension
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TensorType

from vitpose.base.errors import PlacedError, placed

from .annotations_vitpose import Boxes, Keypoints, parse_boxes, parse_keypoints
from .geometry_vitpose import crop_matrices, invert_matrices, transform_points
from .heatmaps_vitpose import encode_heatmaps
from .images_vitpose import Images, ImageSource, list_images, to_rgb_tensor, upright_pil
from .people_vitpose import People, numbered_schema
from .prediction_vitpose import Crops, cut_crops, locate_keypoints
from .processor_settings_vitpose import (
    BOX_PADDING,
    HEATMAP_STRIDE,
    SCALE_UNIT_PX,
    PixelKwargs,
    ProcessorSettings,
    ViTPoseImageProcessorKwargs,
    check_stock_settings,
    is_taken,
    reject_unknown,
    split_known,
    stock_settings,
)

logger = logging.getLogger(__name__)

_shared_settings = lru_cache(maxsize=32)(ProcessorSettings)  # which are checked once and keep what they computed
# Settings that stock does not have, with the value that it works by; saved only where they differ from it.
_BEYOND_STOCK: dict[str, Any] = {"dark_sigma": 0.8, "heatmap_stride": HEATMAP_STRIDE, "use_udp": True}


class ViTPoseImageProcessor(BaseImageProcessor):
    """Cuts people out of photos for ViTPose and brings its heatmaps back into the photos' pixels.

    Crops are cut with unbiased data processing (UDP) by bilinear sampling, on the device of the image. They equal the
    stock VitPose processor's up to its rounding to whole gray levels. Folders saved by either class load in the other;
    a `dark_sigma` other than stock's 0.8 is a setting that stock ignores. With `use_udp=False`, which stock cannot do,
    the folder names this class instead of stock's, so that stock refuses it.

    Settings: see [`ViTPoseImageProcessorKwargs`]. A setting that a saved folder has and this version does not know is
    kept, saved again, and logged.
    """

    model_input_names = ["pixel_values"]
    valid_kwargs = ViTPoseImageProcessorKwargs  # type: ignore[assignment]  # a processor of crops has other settings

    size = {"height": 256, "width": 192}
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    do_affine_transform = True
    normalize_factor = SCALE_UNIT_PX
    dark_sigma: float = _BEYOND_STOCK["dark_sigma"]
    heatmap_stride: int = _BEYOND_STOCK["heatmap_stride"]
    use_udp: bool = _BEYOND_STOCK["use_udp"]

    def __init__(self, **kwargs: Unpack[ViTPoseImageProcessorKwargs]) -> None:
        super().__init__()
        settings: dict[str, Any] = {**kwargs}
        if not settings.keys() <= self.valid_kwargs.__annotations__.keys():
            settings, others = split_known(kwargs)
            stock = stock_settings(others)
            reject_unknown(others.keys() - stock.keys(), self.valid_kwargs, "ViTPoseImageProcessor")
            check_stock_settings(stock)
        self._unknown: dict[str, Any] = {}
        self._set_attributes(**settings)
        if not self.do_affine_transform:
            raise ValueError("do_affine_transform must be True: cutting out boxes is what ViTPoseImageProcessor does.")
        if not (self.size["height"] and self.size["width"]):
            raise ValueError(f"size must be a height and a width of at least 2 pixels, got {dict(self.size)}.")
        _ = self.settings

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A processor from what a folder says of it; entries that are not known here are kept for the next folder."""
        known, unknown = split_known(image_processor_dict)
        stock = stock_settings(kwargs)
        check_stock_settings(stock)
        loaded = super().from_dict(known, **{name: value for name, value in kwargs.items() if name not in stock})
        processor = loaded[0] if isinstance(loaded, tuple) else loaded
        processor._unknown = unknown
        told = [f"{name} = {value!r}" for name, value in unknown.items() if not is_taken(name, value)]
        if told:
            logger.warning(
                "Image processor: this version of vitpose does not know %s, which the folder sets; it is kept, and has "
                "no effect.",
                ", ".join(told),
            )
        return loaded

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """The processor of a folder or of a repository on the Hub; `kwargs` override settings.

        Raises:
            TypeError: A keyword is unknown.
            ValueError: A setting is invalid.
        """
        if kwargs.get("return_unused_kwargs") or "_from_auto" in kwargs or "_from_pipeline" in kwargs:
            return super().from_pretrained(*args, **kwargs)  # by a program that passes on what is for others too
        loaded: Any = super().from_pretrained(*args, return_unused_kwargs=True, **kwargs)
        processor, unused = loaded
        mine = cls.valid_kwargs.__annotations__
        reject_unknown(
            (name for name in unused if name not in mine and not name.startswith("_")), cls.valid_kwargs, cls.__name__
        )
        return processor

    @property
    def settings(self) -> ProcessorSettings:
        """What the processor's attributes say, checked.

        Raises:
            ValueError: One of them is out of range.
        """
        if not (self.normalize_factor > 0):
            raise ValueError(f"normalize_factor must be a positive number, got {self.normalize_factor}.")
        mean, std = (
            value if isinstance(value, (int, float)) else tuple(value) for value in (self.image_mean, self.image_std)
        )
        return _shared_settings(
            crop_size=(int(self.size["height"]), int(self.size["width"])),
            padding=BOX_PADDING * SCALE_UNIT_PX / self.normalize_factor,
            use_udp=self.use_udp,
            do_rescale=self.do_rescale,
            rescale_factor=self.rescale_factor,
            do_normalize=self.do_normalize,
            image_mean=mean,
            image_std=std,
            dark_sigma=self.dark_sigma,
            heatmap_stride=self.heatmap_stride,
        )

    @classmethod
    def from_settings(cls, settings: ProcessorSettings) -> "ViTPoseImageProcessor":
        """The processor whose `settings` these are."""
        height, width = settings.crop_size
        return cls(
            size={"height": height, "width": width},
            normalize_factor=BOX_PADDING * SCALE_UNIT_PX / settings.padding,
            use_udp=settings.use_udp,
            do_rescale=settings.do_rescale,
            rescale_factor=settings.rescale_factor,
            do_normalize=settings.do_normalize,
            image_mean=settings.image_mean,
            image_std=settings.image_std,
            dark_sigma=settings.dark_sigma,
            heatmap_stride=settings.heatmap_stride,
        )

    def preprocess(
        self,
        images: Images,
        boxes: Boxes,
        keypoints: Keypoints | None = None,
        *,
        return_tensors: str | TensorType | None = None,
        input_data_format: str | ChannelDimension | None = None,
        data_format: str | ChannelDimension | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        **pixel_settings: Unpack[PixelKwargs],
    ) -> BatchFeature:
        """Cut out every box of every image, and with `keypoints` make the targets to train on.

        Args:
            images: One image or a flat list: paths, URLs, PIL images, arrays or tensors, see [`to_rgb_tensor`] for
                modes, layouts and ranges. Float images hold 0..255, or any range with ``do_rescale=False``.
            boxes: For each image a list of ``[x, y, width, height]`` in image pixels; an image without people takes an
                empty list and adds no crops.
            keypoints: Images -> people -> keypoints -> ``[x, y, visibility]`` in image pixels, with COCO's visibility 0
                not labeled, 1 hidden, 2 visible.
            return_tensors: ``"pt"`` (as None) or ``"np"``.
            input_data_format: ``"channels_first"`` or ``"channels_last"`` of arrays and tensors; None looks at their
                shape.
            data_format: ``"channels_first"`` (as None), which models take, or ``"channels_last"`` of the crops.
            device: Where to cut the crops; None takes each image where it is.
            dtype: Type of the crops, such as the model's `torch.bfloat16`; None is float32.
            pixel_settings: `do_rescale`, `rescale_factor`, `do_normalize`, `image_mean`, `image_std` for this call; and
                what stock's processor takes besides, where it says what becomes of crops anyway.

        Returns:
            `pixel_values` `(num_people, 3, height, width)`, the people of all images in order. With `keypoints`
            also `labels` `(num_people, num_keypoints, height / heatmap_stride, ...)` and `label_weights`
            `(num_people, num_keypoints)`, see [`encode_heatmaps`].
        """
        settings = self._call_settings(pixel_settings)
        last = data_format is not None and ChannelDimension(data_format) is ChannelDimension.LAST
        as_numpy = return_tensors is not None and TensorType(return_tensors) is TensorType.NUMPY
        dtype = _checked_dtype(dtype, as_numpy)
        sources = list_images(images)
        tables = parse_boxes(boxes, num_images=len(sources))
        crops = [
            _cut(source, index, table, settings, layout=input_data_format, device=device, dtype=dtype)
            for index, (source, table) in enumerate(zip(sources, tables, strict=True))
            if len(table)
        ]
        pixel_values = _concatenate([own.pixel_values for own in crops], settings.crop_size, dtype)
        data = {"pixel_values": pixel_values.movedim(1, -1) if last else pixel_values}
        if keypoints is not None:
            targets = _targets(parse_keypoints(keypoints, boxes=tables), crops, settings)
            data |= {name: target.to(pixel_values.device) for name, target in targets.items()}
        if as_numpy:
            data = {name: values.cpu() for name, values in data.items()}
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _call_settings(self, given: PixelKwargs) -> ProcessorSettings:
        """The processor's settings with the changes of one call."""
        stock = stock_settings(given)
        check_stock_settings(stock)
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        changed = {name: value for name, value in changed.items() if name not in stock}
        for name in self.valid_kwargs.__annotations__.keys() - PixelKwargs.__annotations__.keys():
            if name in changed and self._standardize_kwargs(**{name: changed.pop(name)})[name] != getattr(self, name):
                raise ValueError(
                    f"{name} cannot change in a single call, because post-processing must agree: set it where the "
                    f"processor is made, ViTPoseImageProcessor({name}=...)."
                )
        reject_unknown(changed, PixelKwargs, "ViTPoseImageProcessor.preprocess")
        return replace(self.settings, **changed)

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
            outputs: Heatmaps `(num_people, num_keypoints, height, width)`, people in the order of `boxes`, or a model's
                output that holds them.
            boxes: For each image a list of ``[x, y, width, height]``, those given to [`preprocess`].
            kernel_size: Width of the blur before the sub-pixel step, in heatmap pixels, odd.
            threshold: Keypoints that do not score above it get score 0 and keep their place, so that all people keep
                all keypoints.
            target_sizes: `(height, width)` of each image in pixels, where `boxes` are fractions of the image.
            dark_sigma: Deviation of that blur in heatmap pixels; None is the processor's own.
            drop_below_threshold: Remove those keypoints instead, as the stock processor does; `labels` then says which
                ones are left.

        Returns:
            For each image a list of people: `keypoints` `(num_keypoints, 2)` as x, y in image pixels, `scores` and
            `labels` (their indices) `(num_keypoints,)`, `bbox` `(4,)` as left, top, right, bottom. All on the CPU.

        Raises:
            TypeError, ValueError: Heatmaps that hold NaN, or are not one per box; invalid boxes.
        """
        if drop_below_threshold and threshold is None:
            raise ValueError("drop_below_threshold=True needs a threshold.")
        settings = self.settings
        sigma = settings.dark_sigma if dark_sigma is None else dark_sigma
        if (settings.blur_kernel, settings.dark_sigma) != (kernel_size, sigma):
            settings = replace(settings, blur_kernel=kernel_size, dark_sigma=sigma)
        tables = _scale_to_pixels(parse_boxes(boxes), target_sizes)
        boxes_xywh = _join(tables)
        heatmaps = _heatmaps(outputs, num_people=len(boxes_xywh))
        keypoints_xy, scores = locate_keypoints(heatmaps, crop_matrices(boxes_xywh, settings), settings)
        people = People(
            keypoints_xy=keypoints_xy,
            scores=scores,
            boxes_xywh=boxes_xywh.float(),
            box_scores=torch.ones(len(boxes_xywh)),
            labels=("person",) * len(boxes_xywh),
            schema=numbered_schema(heatmaps.shape[1]),
        ).to_tensors(threshold, drop=drop_below_threshold)
        ends = accumulate(map(len, tables), initial=0)
        return [people[start:end] for start, end in pairwise(ends)]

    def to_dict(self) -> dict[str, Any]:
        """The stock processor's settings, under its name; settings of our own only where they differ from its ways."""
        settings = super().to_dict()
        settings["image_processor_type"] = "VitPoseImageProcessor" if self.use_udp else type(self).__name__
        known = {*self.valid_kwargs.__annotations__, "image_processor_type"}
        saved = {name: value for name, value in settings.items() if name in known and _BEYOND_STOCK.get(name) != value}
        return {**self._unknown, **saved}


def _cut(
    source: ImageSource,
    index: int,
    table: Tensor,
    settings: ProcessorSettings,
    *,
    layout: str | ChannelDimension | None,
    device: str | torch.device | None,
    dtype: torch.dtype,
) -> Crops:
    """The crops of one image's boxes `(num_people, 4)`; the image's place in the batch is in every message."""
    try:
        image: Image.Image | Tensor | None = upright_pil(source)
        if image is None:
            image = to_rgb_tensor(source, input_data_format=layout, do_rescale=settings.do_rescale)
        return cut_crops(image, table, settings, image_index=index, device=device, dtype=dtype)
    except PlacedError:  # a box, which has its place
        raise
    except (TypeError, ValueError) as error:
        raise placed(error, "images", index) from error


def _targets(keypoints: list[Tensor], crops: list[Crops], settings: ProcessorSettings) -> dict[str, Tensor]:
    """Heatmaps to train on and their weights, of the keypoints `(num_people, num_keypoints, 3)` of each image."""
    people = torch.cat(keypoints) if keypoints else torch.zeros(0, 0, 3)  # (num_people, num_keypoints, 3)
    matrices = torch.cat([torch.zeros(0, 2, 3, dtype=torch.float64), *(own.matrices for own in crops)])
    points = transform_points(people[..., :2], invert_matrices(matrices)).float()  # crop pixels
    labels, weights = encode_heatmaps(
        points,
        people[..., 2],
        crop_size=settings.crop_size,
        heatmap_size=settings.heatmap_size,
        use_udp=settings.use_udp,
    )
    return {"labels": labels, "label_weights": weights}


def _join(tables: list[Tensor]) -> Tensor:
    return torch.cat([*tables, torch.zeros(0, 4, dtype=torch.float64)])  # (num_people, 4), also without any image


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
        return crops[0]  # a copy would take as long as the normalization
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
