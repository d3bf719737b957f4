"""What setup.cfg cannot say: README.md as it reads away from the repository, on the page of a package index.

Its links and pictures are relative. With `url` in setup.cfg, the repository's public address, they become absolute; as
long as there is none, pictures are left out and links become their text.
"""

import configparser
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)([^)]+)\)\n+", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def long_description(readme: str, url: str | None) -> str:
    """README.md with the links of `url`, a repository on GitHub, or without links into the repository."""
    if url is None:
        return LINK.sub(r"\1", PICTURE.sub("", readme))
    pictures = PICTURE.sub(lambda match: match[0].replace(f"]({match[1]}", f"]({url}/raw/HEAD/{match[1]}"), readme)
    return LINK.sub(rf"[\1]({url}/blob/HEAD/\2)", pictures)


def public_address() -> str | None:
    """`url` of setup.cfg, the one place that names it."""
    configuration = configparser.ConfigParser()
    configuration.read(HERE / "setup.cfg", encoding="utf-8")
    return configuration["metadata"].get("url")


if __name__ == "__main__":
    readme = (HERE / "README.md").read_text("utf-8")
    setup(
        long_description=long_description(readme, public_address()),
        long_description_content_type="text/markdown",
    )
