"""How fast the page answers in Chromium: 500 methods in 20 columns, opened, sorted and filtered.

    python tests/speed/page.py

*First paint* is what the browser itself reports, from the start of the navigation. *Sorted* and *filtered* are from the
click or the typed letter to a page that is laid out anew. Nothing is measured where Chromium is not installed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Row, print_machine, print_table, scratch
from mmbench.leaderboards.render.page import PageTable, page
from mmbench.leaderboards.tables.accuracy import COLUMNS

ROUNDS = 7
METHODS, METRICS = 500, 20
ANSWER = """
  const started = performance.now();
  const box = document.querySelector("#accuracy input");
  if (arguments[0] === null) document.querySelectorAll("#accuracy thead button")[5].click();
  else { box.value = arguments[0]; box.dispatchEvent(new Event("input")); }
  document.body.offsetHeight;  // lays the page out
  return (performance.now() - started) / 1000;
"""
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


def table() -> pd.DataFrame:
    """A tidy frame of random means."""
    draw, count = np.random.default_rng(0), METHODS * METRICS
    known = {"task": "toy", "modalities": "text", "protocol": "fair", "data": "real", "condition": "clean"}
    known |= {
        "direction": "higher",
        "unit": "score",
        "n": 3,
        "n_planned": 3,
        "seeds": "0 1 2",
        "samples": 100,
    }
    frame = pd.DataFrame({name: known.get(name, "" if kind == "str" else np.nan) for name, kind in COLUMNS.items()},
                         index=range(count))  # fmt: skip
    frame["draw"] = 0
    frame["method"] = [f"m{row}" for row in range(METHODS) for _ in range(METRICS)]
    frame["metric"] = [f"metric{place}" for _ in range(METHODS) for place in range(METRICS)]
    frame["mean"] = draw.normal(size=count)
    return frame


def main() -> None:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("no Chromium: the page is not measured")
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    timed: dict[str, list[float]] = {"first paint": [], "sorted": [], "filtered": []}
    with scratch() as folder:
        file = Path(folder) / "page.html"
        text = page([PageTable("accuracy", "Accuracy", "metric", table())], (), "1")
        file.write_text(text, encoding="utf-8")
        try:
            for _ in range(ROUNDS):
                driver.get(file.as_uri())
                timed["sorted"].append(driver.execute_script(ANSWER, None))
                timed["filtered"].append(driver.execute_script(ANSWER, "m49"))
                timed["first paint"].append(driver.execute_script(PAINTED))
        finally:
            driver.quit()
    print_machine()
    promised = {"first paint": 2.0, "sorted": 1.0, "filtered": 1.0}
    rows = [
        Row(f"page of {METHODS} x {METRICS}, {what}", float(np.median(times)), min(times), max(times), "ms",
            promised[what], f"{len(text.encode()) / 1e6:.2f} MB; fastest to slowest")
        for what, times in timed.items()
    ]  # fmt: skip
    print_table("The page in Chromium", rows)


if __name__ == "__main__":
    main()
