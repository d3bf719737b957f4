"""Photos are read as a viewer shows them: size and pixels after their EXIF orientation."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from vitpose.training.data.images import read_image_size
from vitpose.training.samples.crops import read_image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_size_and_pixels_are_those_of_the_upright_photo(tmp_path, suffix, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).save(file, exif=exif)
    with Image.open(file) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    stored = {"bytes": None, "path": str(file)}
    shown = read_image(stored, row=0, size=upright.size)
    np.testing.assert_array_equal(shown.permute(1, 2, 0).numpy(), np.asarray(upright))
    if suffix != "png":  # whose orientation is found only by decoding
        assert read_image_size(stored, row=0) == upright.size
