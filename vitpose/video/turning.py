"""Pictures of a video as they are to be shown: turned and mirrored as the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_AS_IT_IS = np.eye(2)


def display_matrix(picture: VideoFrame) -> np.ndarray:
    """How a picture is to be shown: `(2, 2)`, rows x and y of where the stored x and y axes point in the shown picture.

    Of FFmpeg's display matrix, 3 x 3 fixed-point numbers, without its scale and translation.
    """
    data: Any = picture.side_data.get("DISPLAYMATRIX")  # a buffer, which its types do not say
    return _AS_IT_IS if data is None else np.frombuffer(bytes(data), dtype=np.int32).reshape(3, 3)[:2, :2]


def turned(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn by quarters and mirror; other angles go to the nearest of these.

    Args:
        pixels: `(height, width, channels)` as stored.
        matrix: `(2, 2)`, of [`display_matrix`].

    Returns:
        `(height, width, channels)`, or width and height exchanged; a view.
    """
    (x_to_x, x_to_y), (y_to_x, y_to_y) = matrix.tolist()
    if abs(x_to_y) > abs(x_to_x):
        pixels, right, down = pixels.swapaxes(0, 1), y_to_x, x_to_y
    else:
        right, down = x_to_x, y_to_y
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
