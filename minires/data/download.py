"""Downloading CIFAR from a slow host: with mirrors, in pieces, and checked before it is used."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from .cifar_files import Layout

PAUSES = (1.0, 4.0, 16.0)  # seconds before each new try, when nothing has come since the last
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces


def download(folder: Path, layout: Layout) -> Path:
    """Fetch an official archive into `folder` and return its path.

    The URLs in $MINIRES_CIFAR10_MIRRORS (or CIFAR100) are tried first, in order. What has come is
    kept in `cifar-10-binary.tar.gz.part`, so that an interrupted download goes on where it stopped;
    the archive gets its name only once its md5 is right. Raises ConnectionError where no URL gives
    it.
    """
    import pooch

    mirrors = [url.strip() for url in os.environ.get(layout.mirrors, "").split(",") if url.strip()]
    _announce(folder, layout)
    failures = []
    for url in (*mirrors, layout.url):
        try:
            resume = partial(_resume, layout=layout)
            path = pooch.retrieve(
                url, f"md5:{layout.md5}", layout.archive, folder, downloader=resume
            )
            return Path(path)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{url}: {error}")
    raise ConnectionError(
        f"{layout.dataset} could not be downloaded. Put {layout.archive} into {folder} by hand, "
        f"or name another copy in ${layout.mirrors}, or use "
        f"the built-in data set. What was tried:\n  " + "\n  ".join(failures)
    )


def _announce(folder: Path, layout: Layout) -> None:
    print(
        f"Downloading {layout.archive} ({layout.size / 1e6:.0f} MB) to {folder}.\n"
        f"Its official host has sent only about 55 kB/s since June 2026: that is about "
        f"{layout.size / 55e3 / 60:.0f} minutes. If interrupted, it goes on where it stopped.\n"
        f"Faster: put the file there by hand, or name a nearer copy in ${layout.mirrors}."
    )


def _resume(url: str, output_file: str, _pooch: object, *, layout: Layout) -> None:
    """Download for pooch, which then checks the md5 and moves or deletes `output_file`.

    A lost connection is taken up again where it broke off, with ever longer pauses while nothing
    comes. A wrong status (404, say) is not worth another try.
    """
    import requests
    import urllib3
    from rich import progress

    part = Path(output_file).with_name(f"{layout.archive}.part")
    columns = (
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    lost = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
    tries = 0
    with progress.Progress(*columns) as bar:
        task = bar.add_task(layout.archive, total=None)
        while True:
            before = _size(part)
            try:
                report = partial(bar.update, task)
                _append(url, part, layout.size, report)
                break
            except lost as error:
                tries = 0 if _size(part) > before else tries + 1
                if tries >= len(PAUSES):
                    raise ConnectionError(f"the connection was lost ({error})") from error
                bar.console.print(f"Connection lost; next try in {PAUSES[tries]:.0f} s")
                time.sleep(PAUSES[tries])
    part.replace(output_file)


def _append(url: str, part: Path, size: int, report: Any) -> None:
    """Ask once for what is missing from `part`, and append it as it comes."""
    import requests

    done = _size(part)
    headers = {"Range": f"bytes={done}-"} if done else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # no bytes from there on: everything has come
            return
        response.raise_for_status()
        if response.status_code != 206:  # the host sends the whole file again
            done = 0
        total = done + int(response.headers.get("Content-Length", size - done))
        with part.open("ab" if done else "wb") as file:
            # The raw stream: should the host declare the gzip as an encoding, it stays packed.
            for piece in response.raw.stream(1 << 16, decode_content=False):
                file.write(piece)
                done += len(piece)
                report(completed=done, total=total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
