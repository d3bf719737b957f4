"""What the page says to its user: sentences, and mistakes without the server's folders."""

from __future__ import annotations

import html
import os
import re
import tempfile
from pathlib import Path

# A path from the root or a drive on, up to its last name; not what follows the // of an address.
_FOLDERS = re.compile(r"(?<![\w/.\\])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\",:]+[\\/])+")
MISTAKES = (ValueError, OSError, ImportError)  # those that a user can do something about


def say(text: str) -> str:
    """A sentence as HTML, which is also read out."""
    return f'<p role="status">{html.escape(text)}</p>'


def say_mistake(mistake: Exception | str) -> str:
    """What is wrong, as HTML; of files on the server it has the names alone."""
    return f'<p role="alert" class="mistake">{html.escape(without_folders(str(mistake)))}</p>'


def without_folders(text: str) -> str:
    """The text with the last name of each absolute path alone."""
    for folder in (tempfile.gettempdir(), str(Path.home())):  # whose names may have spaces
        text = text.replace(folder + os.sep, "/")
    return _FOLDERS.sub("", text)
