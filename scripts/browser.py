"""Find a Chromium for the browser suite, the screenshots and the benchmark of pages; install one if there is none.

    python scripts/browser.py             print its path; install it first where there is none
    python scripts/browser.py --find      print its path, or say what to do; install nothing

Looked at in this order: the variable SOFTPROMPT_CHROMIUM, a Chromium or Chrome of this machine, the one that
`playwright install` keeps. What is found has to answer `--version`: a package that is only a pointer does not count.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "SOFTPROMPT_CHROMIUM"
NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
HELP = f"""There is no Chromium for the browser suite. One of these brings it:
    python scripts/browser.py                    as root on Debian by apt, elsewhere from playwright's own server
    python -m playwright install chromium        for this user, from playwright's own server
    {VARIABLE}=/path/to/chromium          if there is one in another place"""


class NoBrowser(Exception):
    """There is no browser, and what to do about it."""


def find() -> str:
    """The path of a Chromium that runs here."""
    given = os.environ.get(VARIABLE)
    if given:
        if _runs(given):
            return given
        raise NoBrowser(f"{VARIABLE}: {given!r} does not answer --version as a Chromium does. Correct or unset it.")
    for path in _candidates():
        if _runs(path):
            return path
    raise NoBrowser(HELP)


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield MAC
    yield _of_playwright()


def _of_playwright() -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _runs(path: str) -> bool:
    if not Path(path).is_file():
        return False
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.returncode == 0 and "Chrom" in told.stdout


def install() -> str:
    """The path of a Chromium; brought here if it has to be."""
    try:
        return find()
    except NoBrowser:
        if os.environ.get(VARIABLE):
            raise
    told = []
    for command in _ways():
        sys.stderr.write(f"{' '.join(command)}\n")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            told.append(f"{' '.join(command)}: {_last_line(done.stderr or done.stdout)}")
        try:
            return find()
        except NoBrowser:
            continue
    raise NoBrowser("\n".join([HELP, "What was tried:", *(f"    {line}" for line in told)]))


def _ways() -> Iterator[list[str]]:
    """Commands, after each of which there may be one: a distribution's own package brings what it links to."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        yield ["apt-get", "update", "-qq"]
        yield ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    yield [sys.executable, "-m", "playwright", "install", "chromium"]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word"])[-1]


def main() -> int:
    try:
        path = find() if "--find" in sys.argv[1:] else install()
    except NoBrowser as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
