"""MATLAB files, which some datasets come in; they need scipy."""

from pathlib import Path
from typing import Any


def save_mat(path: Path, variables: dict[str, Any]) -> None:
    """Write variables to a MATLAB file.

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        from scipy.io import savemat
    except ImportError as error:
        raise ImportError(f"Writing {path.suffix} files needs scipy: pip install scipy.") from error
    savemat(path, variables)


def load_mat(path: Path) -> dict[str, Any]:
    """Read the variables of a MATLAB file, structures as objects with attributes.

    Raises:
        ImportError: scipy is not installed.
        ValueError: The file is missing or damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"Reading {path} needs scipy: pip install scipy.") from error
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Check the path.")
    try:
        return loadmat(path, struct_as_record=False, squeeze_me=True)
    except Exception as error:  # a damaged file may raise nearly anything in there
        raise ValueError(f"{path} is not a MATLAB file, perhaps an unfinished download: {error}.") from error
