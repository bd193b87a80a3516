"""Find a Chromium, install one, or say what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# `--headless` is added by playwright
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # no name leads anywhere: the network is off, but for hosts that a test starts on this machine
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def find() -> str | None:
    """The path of a Chromium on this machine: HSEM_CHROMIUM, the system's, or playwright's."""
    named = os.environ.get("HSEM_CHROMIUM")
    found = [named] if named else [shutil.which(name) for name in NAMES]
    return next((path for path in found if path), None) or _playwrights()


def find_or_install() -> str:
    """As `find`, after trying to install one where that is possible."""
    path = find()
    if path:
        return path
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        # -y alone would stop at questions of other packages
        apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        commands = [[*apt, "update", "-q"], [*apt, "install", "-q", "-y", "chromium"], *commands]
    said = []
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said.append(
                f"`{' '.join(command)}` said: {(done.stderr or done.stdout).strip()[-300:]}"
            )
        path = find()
        if path:
            return path
    raise FileNotFoundError(
        "The browser test needs Chromium, and none was found or could be installed. Install the "
        "package `chromium` (or Google Chrome), or name one in the variable HSEM_CHROMIUM. To go "
        "without this test, set HSEM_ALLOW_NO_BROWSER=1.\n" + "\n".join(said)
    )


def _playwrights() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        path = play.chromium.executable_path
    return path if Path(path).exists() else None
