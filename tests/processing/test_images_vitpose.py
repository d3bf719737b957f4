"""Photos of every kind become the RGB values that a user sees on the screen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose.processing.images_vitpose import list_images, rgb_region, to_rgb_photo, to_rgb_tensor

RED, GRAY = (200, 10, 20), 90
HEIGHT, WIDTH = 6, 8


def rgb_image(color=RED) -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), color)


def colors(tensor: torch.Tensor) -> list[float]:
    """The one colour of a uniform image."""
    assert tensor.shape == (3, HEIGHT, WIDTH)
    assert (tensor == tensor[:, :1, :1]).all()
    return tensor[:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(rgb_image(), RED, id="RGB"),
        pytest.param(rgb_image().quantize(4), RED, id="palette"),
        pytest.param(rgb_image().convert("RGBA"), RED, id="RGBA: alpha is dropped"),
        pytest.param(rgb_image().convert("CMYK"), RED, id="CMYK, which prints use"),
        pytest.param(Image.new("L", (WIDTH, HEIGHT), GRAY), [GRAY] * 3, id="grayscale"),
        pytest.param(Image.new("LA", (WIDTH, HEIGHT), (GRAY, 128)), [GRAY] * 3, id="grayscale with alpha"),
        pytest.param(Image.new("1", (WIDTH, HEIGHT), 1), [255] * 3, id="black and white"),
        pytest.param(Image.new("I;16", (WIDTH, HEIGHT), GRAY * 257), [GRAY] * 3, id="16-bit grayscale"),
        pytest.param(Image.new("I", (WIDTH, HEIGHT), GRAY * 257), [GRAY] * 3, id="16-bit as Pillow 9 opens it"),
        pytest.param(Image.new("I", (WIDTH, HEIGHT), GRAY), [GRAY] * 3, id="8 bits in 32"),
        pytest.param(Image.new("F", (WIDTH, HEIGHT), GRAY + 0.5), [GRAY + 0.5] * 3, id="floats, as in arrays"),
    ],
)
def test_pil_modes(image, expected):
    assert colors(to_rgb_tensor(image)) == pytest.approx(list(expected), abs=1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(Image.new("I;16", (WIDTH, HEIGHT), GRAY * 257), [GRAY] * 3, id="16 bits, not clipped to white"),
        pytest.param(rgb_image().quantize(4), RED, id="palette"),
        pytest.param(np.full((HEIGHT, WIDTH), GRAY, dtype=np.uint8), [GRAY] * 3, id="array"),
        pytest.param(torch.full((3, HEIGHT, WIDTH), GRAY + 0.7), [GRAY + 1] * 3, id="float tensor, rounded"),
    ],
)
def test_photos_to_show(image, expected):
    photo = to_rgb_photo(image)
    assert (photo.mode, photo.size) == ("RGB", (WIDTH, HEIGHT))
    assert photo.getpixel((2, 3)) == pytest.approx(tuple(expected), abs=1)
    assert torch.equal(to_rgb_tensor(photo), to_rgb_tensor(image).round().to(torch.uint8))


def test_a_photo_to_show_is_upright_and_a_copy():
    image = rgb_image()
    to_rgb_photo(image).putpixel((0, 0), (0, 0, 0))
    assert image.getpixel((0, 0)) == RED
    image.getexif()[0x0112] = 6  # orientation: a quarter turn
    assert to_rgb_photo(image).size == (HEIGHT, WIDTH)


def test_a_palette_with_transparency_brings_no_warning(recwarn):
    image = rgb_image().quantize(4)
    image.info["transparency"] = bytes([255] * 256)
    assert colors(to_rgb_tensor(image)) == pytest.approx(list(RED), abs=1)
    assert not recwarn.list


def uniform(channels: int, dtype, value, *, first: bool) -> np.ndarray:
    return np.full((channels, HEIGHT, WIDTH) if first else (HEIGHT, WIDTH, channels), value, dtype=dtype)


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_array_layouts(make, first, channels):
    tensor = to_rgb_tensor(make(uniform(channels, np.uint8, GRAY, first=first)))
    assert colors(tensor) == [GRAY] * 3
    assert tensor.dtype == torch.uint8


def test_an_array_without_channels_is_grayscale():
    assert colors(to_rgb_tensor(np.full((HEIGHT, WIDTH), GRAY, dtype=np.uint8))) == [GRAY] * 3


@pytest.mark.parametrize(
    ("image", "layout", "shape"),
    [
        pytest.param(np.zeros((3, 5, 3), dtype=np.uint8), None, (3, 3, 5), id="arrays have their channels last"),
        pytest.param(torch.zeros(3, 5, 3, dtype=torch.uint8), None, (3, 5, 3), id="tensors have them first"),
        pytest.param(np.zeros((3, 5, 3), dtype=np.uint8), "channels_first", (3, 5, 3), id="unless the user says so"),
        pytest.param(np.zeros((1, 2, 3), dtype=np.uint8), None, (3, 1, 2), id="an image of one row"),
    ],
)
def test_layouts_that_fit_twice(image, layout, shape):
    assert to_rgb_tensor(image, input_data_format=layout).shape == shape


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.uint8, GRAY), (np.int64, GRAY), (np.uint16, GRAY * 257), (">u2", GRAY * 257), (np.float32, GRAY)],
)
def test_array_types(dtype, value):
    assert colors(to_rgb_tensor(uniform(3, dtype, value, first=False))) == pytest.approx([GRAY] * 3, abs=1e-4)


def test_floats_keep_their_range_where_nothing_rescales_them():
    tensor = to_rgb_tensor(uniform(3, np.float64, 0.25, first=False), do_rescale=False)
    assert colors(tensor) == [0.25] * 3
    assert tensor.dtype == torch.float32


def test_a_dark_part_of_a_deep_image_means_what_the_whole_does():
    image = Image.new("I", (40, 40), 200)
    image.putpixel((39, 39), 65535)
    assert rgb_region(image, (0, 0, 5, 5))[0, 1, 1] == pytest.approx(200 / 257)


def test_a_black_float_image_is_no_mistake():
    assert colors(to_rgb_tensor(uniform(3, np.float32, 0, first=False))) == [0, 0, 0]


def test_views_of_arrays_need_no_copy_from_the_user():
    image = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    image.flags.writeable = False
    for view in (image, image[:, ::-1], image[..., ::-1]):  # read-only, mirrored, BGR to RGB
        np.testing.assert_array_equal(to_rgb_tensor(view).permute(1, 2, 0).numpy(), view)


@pytest.mark.parametrize("as_string", [True, False], ids=["str", "Path"])
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_paths(tmp_path, mode, as_string):
    path = tmp_path / "photo.png"
    Image.new(mode, (WIDTH, HEIGHT), RED if mode == "RGB" else GRAY * 257).save(path)
    expected = RED if mode == "RGB" else [GRAY] * 3
    assert colors(to_rgb_tensor(str(path) if as_string else path)) == pytest.approx(list(expected))


@pytest.mark.parametrize("opened", [True, False], ids=["PIL image", "path"])
def test_exif_orientation_is_applied(tmp_path, opened):
    image = rgb_image()
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    source = Image.open(tmp_path / "photo.jpg") if opened else tmp_path / "photo.jpg"
    assert to_rgb_tensor(source).shape == (3, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        pytest.param(7, TypeError, "path, URL, PIL image, numpy array or torch tensor, got int", id="no image"),
        pytest.param("nowhere.jpg", ValueError, "nowhere.jpg", id="no such file"),
        pytest.param(np.zeros((6, 8, 2), np.uint8), ValueError, r"1, 3 or 4 channels.*\(6, 8, 2\)", id="two channels"),
        pytest.param(np.zeros((2, 3, 6, 8), np.uint8), ValueError, r"got \(2, 3, 6, 8\)", id="a batch"),
        pytest.param(np.zeros((0, 8, 3), np.uint8), ValueError, r"got \(0, 8, 3\)", id="no pixels"),
        pytest.param(np.full((6, 8, 3), 0.5), ValueError, "spans 0.5..0.5 and looks rescaled already", id="0..1"),
        pytest.param(np.full((6, 8, 3), -2.0), ValueError, "pass do_rescale=False", id="normalised floats"),
        pytest.param(np.full((6, 8, 3), 256.5), ValueError, "clip it to 0..255", id="floats above 255"),
        pytest.param(np.full((6, 8, 3), np.nan), ValueError, "holds NaN or infinity", id="NaN"),
        pytest.param(np.full((6, 8, 3), 300), ValueError, r"must hold 0..255 .* of 300..300", id="integers above 255"),
        pytest.param(np.zeros((6, 8, 3), bool), TypeError, "integers or floats, got dtype bool", id="a mask"),
        pytest.param(
            torch.zeros(3, 6, 8, dtype=torch.bool), TypeError, "integers or floats, got torch.bool", id="masks"
        ),
        pytest.param(np.array([["a"]]), TypeError, "integers or floats, got dtype <U1", id="text"),
        pytest.param(Image.new("I", (8, 6), 70000), ValueError, "mode I must hold 16-bit values", id="above 16 bits"),
        pytest.param(Image.new("F", (8, 6), 70000.0), ValueError, "clip it to 0..255", id="HDR"),
        pytest.param(Image.new("F", (8, 6), 0.5), ValueError, "looks rescaled already: multiply", id="0..1 in PIL"),
    ],
)
def test_bad_images_are_named(image, error, message):
    with pytest.raises(error, match=message):
        to_rgb_tensor(image)


def test_a_layout_that_contradicts_the_image():
    with pytest.raises(ValueError, match=r"got shape \(6, 8, 3\) with input_data_format='channels_first'"):
        to_rgb_tensor(np.zeros((6, 8, 3), np.uint8), input_data_format="channels_first")
    with pytest.raises(ValueError, match="channels_middle"):
        to_rgb_tensor(np.zeros((6, 8, 3), np.uint8), input_data_format="channels_middle")


def test_lists_of_images():
    assert len(list_images(rgb_image())) == 1
    assert len(list_images([rgb_image(), "photo.jpg"])) == 2
    assert len(list_images(np.zeros((5, HEIGHT, WIDTH, 3)))) == 5
    with pytest.raises(TypeError, match=r"one flat list, but images\[0\] is a list: flatten it"):
        list_images([[rgb_image()]])


@pytest.mark.parametrize("source", ["nothing.jpg", Path("nothing")], ids=["by its name", "a path"])
def test_a_photo_that_is_not_there_is_said_to_be_missing(source):
    with pytest.raises(ValueError, match="There is no image file nothing.*Check the path"):
        to_rgb_tensor(source)
