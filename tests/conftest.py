"""What some tests need beside Python, and a browser for those that look at a page."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


# How long an example takes is no property of what it tests: a busy machine would fail it.
settings.register_profile("mmbench", deadline=None)
settings.load_profile("mmbench")


def lacking_slurm() -> str:
    """Why there is no SLURM to test with; empty where there is one."""
    if not shutil.which("sbatch"):
        return "no sbatch: tests/slurm_cluster.sh start, then . /tmp/mmbench-slurm/env.sh"
    asked = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 and asked.stdout.strip() else "SLURM does not answer: see SLURM_CONF"


def pytest_configure() -> None:
    """Lets Ctrl-C through, matplotlib list the fonts once, and collects garbage less often."""
    # A shell lets its background jobs ignore Ctrl-C, and what they start inherits that: tests that send it would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests have cache folders of their own; matplotlib's list of fonts, which takes seconds, would be made anew in each.
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    os.environ.setdefault("MPLCONFIGDIR", str(Path(caches) / "matplotlib"))
    gc.set_threshold(50_000, 20, 20)  # thousands of collections would look at ten thousand tests each time


def pytest_collection_finish() -> None:
    """Leaves what the tests are made of out of every later collection of garbage."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests first that wait for SLURM, so that others use the processors meanwhile, then the few that take long and
    stand in no folder; at the end each would be waited for."""
    own = Path(__file__).parent
    items.sort(key=lambda item: (item.get_closest_marker("slurm") is None, item.path.parent != own))


PROGRAMS = {"chromium": ("chromium", "chromedriver"), "latex": ("pdflatex",)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked ``needs(NAME)`` where its programs are not installed; where MMBENCH_REQUIRE names
    NAME, as ``.ci/run`` does, it fails instead. So it is with what is marked ``slurm`` where none answers."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            lacking = [program for program in PROGRAMS[name] if not shutil.which(program)]
            if lacking and name in os.environ.get("MMBENCH_REQUIRE", "").split(","):
                pytest.fail(f"not installed, but required: {', '.join(lacking)}", pytrace=False)
            if lacking:
                pytest.skip(f"not installed: {', '.join(lacking)}")
    if item.get_closest_marker("slurm") and (reason := lacking_slurm()):
        if "slurm" in os.environ.get("MMBENCH_REQUIRE", "").split(","):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


class Browser:
    """Chromium without a window. What it logs is kept until it is asked for."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, file: Path, width: int = 1400, height: int = 1000) -> Chrome:
        """Opens a file in a window of a size, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.complaints()
        self.requests()
        self.driver.get(file.as_uri())
        return self.driver

    def complaints(self) -> list[str]:
        """What the console said since it was last asked."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """What was asked for since it was last asked, but for what stands in the page itself and what the browser
        shows of its own, such as a new tab."""
        entries: list[dict[str, Any]] = self.driver.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in asked]
        return [url for url in urls if not url.startswith(("data:", "chrome:"))]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def look(chromium: Browser) -> Iterator[Callable[..., Chrome]]:
    """Opens a file. At the end of the test nothing but that file was asked for, and the console is empty."""
    from selenium.webdriver.support.ui import WebDriverWait

    files: list[str] = []

    def open_file(file: Path, **size: int) -> Chrome:
        files.append(file.as_uri())
        driver = chromium.open(file, **size)
        # The script unpacks its data after the page has loaded.
        WebDriverWait(driver, 20).until(
            lambda page: page.find_elements("css selector", ".tools:not([hidden])")
        )
        return driver

    yield open_file
    assert chromium.complaints() == []
    assert set(chromium.requests()) <= set(files)
