"""Downloads that end as a whole, verified file or as an error, and go on where they broke off."""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request

from nft_keras._checks import short
from nft_keras._text import say
from nft_keras.data import DataError

_BLOCK = 1 << 16
# No file that we download comes near it; without a bound, whoever answers fills the disk.
_LARGEST, _DIGITS = 1 << 30, 20


class DownloadError(DataError):
    """A file that could not be downloaded, or that is not the file that was published."""


# pooch and keras.utils.get_file begin again after a break, and have one address for a file.
def download(urls, path, *, sha1, timeout=15.0, attempts=3):
    """Downloads a file.

    What has arrived waits in `path` + ".part", from where an interrupted download goes on, in this call or the next;
    `path` itself comes into being whole, after its checksum was right. A progress bar is shown on a terminal. The
    checksum is what vouches for the file, so that http serves as well as https; proxies are taken from the environment.

    Args:
        urls: where the file is, several addresses of the same file, tried in this order.
        path: `pathlib.Path` to write; missing folders are made.
        sha1: str, the SHA-1 of the file, hexadecimal.
        timeout: seconds to wait for an answer or for more data.
        attempts: how often to go on at each address after a break in the middle; what cannot be reached at all is
            not asked again.

    Returns:
        path.

    Raises:
        DownloadError: naming each address and what was wrong there.
        DataError: if `path` cannot be written.
    """
    part = path.with_name(path.name + ".part")
    wrong = {}
    for url in urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            continued = part.exists()
            _fetch(url, part, timeout, attempts)
            if continued and _sha1(part) != sha1:
                part.unlink()
                _fetch(url, part, timeout, attempts)
            if (found := _sha1(part)) != sha1:
                part.unlink()
                raise _Wrong(f"the file there has SHA-1 {found}, the published one has {sha1}")
            os.replace(part, path)
            return path
        except _Wrong as error:
            wrong[url.partition("://")[2], str(error)] = None
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror or error}; choose another --data-dir") from error
    raise DownloadError(f"{path.name} cannot be downloaded: {'; '.join(f'{url}: {why}' for url, why in wrong)}")


class _Wrong(Exception):
    """What is wrong at one address."""


def _fetch(url, part, timeout, attempts):
    """Appends to `part` until it is as long as the file at the address, which is asked to go on after every break."""
    with _Bar(url) as bar:
        for attempt in range(attempts):
            had = part.stat().st_size if part.exists() else 0
            reason = _append(url, part, timeout, bar)
            if reason is None:
                return
            # Nothing new arrived: asking again would only make the user wait.
            if part.stat().st_size <= had or attempt == attempts - 1:
                raise _Wrong(reason)


def _append(url, part, timeout, bar):
    """One request for what `part` lacks; returns None when `part` is complete, or why the connection broke."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "nft_keras"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        # `urlopen` would keep the proxies of the process' first request; an opener of its own reads them now.
        response = urllib.request.build_opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after what we have: complete, or not this file; the checksum tells
            return None
        raise _Wrong(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Wrong(_reason(error)) from error
    with response:
        have = have if response.status == 206 else 0
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _Wrong(f"asked for bytes {have}-, got {response.headers.get('Content-Range')!r}")
        total = _announced(response.headers.get("Content-Length"), have)
        bar.begin(have, total)
        most = _LARGEST if total is None else total
        with open(part, "ab" if have else "wb") as file:
            while True:
                try:
                    block = response.read(_BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    return _reason(error)
                if not block:
                    break
                file.write(block)
                if file.tell() > most:
                    break
                bar.advance(len(block))
            file.flush()
            os.fsync(file.fileno())
        have = part.stat().st_size
    if have > most:
        part.unlink()
        raise _Wrong(f"sends more than the {most:,} bytes that {'are taken' if total is None else 'it announced'}")
    if total is not None and have < total:
        return f"the connection ended after {have:,} of {total:,} bytes"
    return None


def _announced(length, have):
    """The size of the file by the Content-Length of what is missing of it; None where it does not say."""
    if length is None or not re.fullmatch("[0-9]+", length):
        return None
    if len(length) > _DIGITS or have + int(length) > _LARGEST:
        raise _Wrong(f"announces {short(length, _DIGITS)} bytes, more than the {_LARGEST:,} that are taken")
    return have + int(length)


def _reason(error):
    error = getattr(error, "reason", error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _sha1(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


class _Bar:
    """A progress bar on a terminal, one line of text elsewhere."""

    def __init__(self, url):
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self.url = url
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task(url.rpartition("/")[2], total=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.progress.stop()

    def begin(self, completed, total):
        self.progress.start()
        self.progress.update(self.task, completed=completed, total=total)
        if self.progress.disable:
            say(f"downloading {self.url}")

    def advance(self, count):
        self.progress.advance(self.task, count)
