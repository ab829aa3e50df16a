"""How fast the page answers in Chromium: 500 methods in 20 columns, and 50 methods on 20 tasks in twelve tables.

    python tests/speed/page.py

*First paint* is what the browser itself reports, from the start of the navigation. *Sorted* and *filtered* are from the
click or the typed letter to a page that is laid out anew. *Filled* is when the script has filled the last table of the
large page. All values of it are random, so that none is compressed as another is, and the page must leave views out. Nothing is measured where Chromium is not installed.
"""

from __future__ import annotations

import shutil
import time
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


#: Tables of the large page, with their conditions: 1000 rows each.
TABLES = {"accuracy": 10, **{f"table-{place}": 8 for place in range(9)}, "missing": 8, "robustness": 40}
LARGE_METHODS, LARGE_TASKS = 50, 20
FILLED = "return document.querySelectorAll('.tools:not([hidden])').length"


def large_tables() -> list[PageTable]:
    """Random means and intervals of 50 methods on 20 tasks, under conditions."""
    draw = np.random.default_rng(0)
    found: list[PageTable] = []
    for name, conditions in TABLES.items():
        rows = LARGE_METHODS * LARGE_TASKS
        frame = table(rows, conditions)
        frame["task"] = [f"task{row // LARGE_METHODS}" for row in range(rows) for _ in range(conditions)]
        frame["method"] = [f"m{row % LARGE_METHODS}" for row in range(rows) for _ in range(conditions)]
        named = ["clean", *(f"noise{place // 5}:text@{place % 5 + 1}" for place in range(conditions - 1))]
        frame["condition"], frame["metric"] = named * rows, "mae"
        frame["sd"] = draw.random(len(frame))
        frame["low"], frame["high"] = frame["mean"] - frame["sd"], frame["mean"] + frame["sd"]
        frame["interval"] = "seeds+samples"
        found.append(PageTable(name, name, "condition", frame, lambda one: one[:6] in ("clean", "noise0")))
    return found


def table(methods: int = METHODS, metrics: int = METRICS) -> pd.DataFrame:
    """A tidy frame of random means."""
    draw, count = np.random.default_rng(0), methods * metrics
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
    frame["method"] = [f"m{row}" for row in range(methods) for _ in range(metrics)]
    frame["metric"] = [f"metric{place}" for _ in range(methods) for place in range(metrics)]
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
            large = page(large_tables(), (), "1")
            file.write_text(large, encoding="utf-8")
            painted, filled = [], []
            for _ in range(3):
                driver.get(file.as_uri())
                painted.append(driver.execute_script(PAINTED))
                while driver.execute_script(FILLED) < len(TABLES):
                    time.sleep(0.02)
                filled.append(driver.execute_script("return performance.now() / 1000"))
        finally:
            driver.quit()
    print_machine()
    promised = {"first paint": 2.0, "sorted": 1.0, "filtered": 1.0}
    rows = [
        Row(f"page of {METHODS} x {METRICS}, {what}", float(np.median(times)), min(times), max(times), "ms",
            promised[what], f"{len(text.encode()) / 1e6:.2f} MB; fastest to slowest")
        for what, times in timed.items()
    ]  # fmt: skip
    size = f"{len(large.encode()) / 1e6:.2f} MB, promised 2; fastest to slowest"
    of = f"page of {LARGE_METHODS} x {LARGE_TASKS} in {len(TABLES)} tables"
    for what, times, most in (("first paint", painted, 2.0), ("filled", filled, None)):
        rows.append(Row(f"{of}, {what}", float(np.median(times)), min(times), max(times), "s", most, size))
    print_table("The page in Chromium", rows)


if __name__ == "__main__":
    main()
