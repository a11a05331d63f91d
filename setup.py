"""The description on an index page: the README with links to the repository, which setup.cfg cannot write."""

import configparser
import re
from pathlib import Path

import setuptools

ROOT = Path(__file__).parent


def described(text, url):
    """The README with absolute links below the repository's address.

    Args:
        text: Markdown, with links relative to the repository.
        url: address of the repository, or "": a link is its name, a picture what it shows.
    """

    def link(found):
        mark, name, path = found.groups()
        if not url:
            return f"*{name}*" if mark else name
        return f"{mark}[{name}]({url}/{'raw' if mark else 'blob'}/main/{path})"

    return re.sub(r"(!?)\[([^][]*)\]\((?!\w+:|#)([^)]*)\)", link, text)


if __name__ == "__main__":
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    url = config.get("metadata", "url", fallback="").rstrip("/")
    setuptools.setup(long_description=described(readme, url))
