"""How soon the document of a run can be read after it is opened, in Chromium, from a file, on this machine.

    python -m benchmarks.report_open RUN_FOLDER [TIMES]

Each time a fresh browser profile opens `report.html`. Told are the medians, in ms from the start of navigation: until
the first words are painted, until the document is parsed and its scripts have run (DOMContentLoaded), until it is
loaded, and until the page answers: two frames were painted after that, and the figures in view are drawn.
The result is beside this file.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lib.core import fingerprint
from lib.core.state import read_state
from lib.report import printed

RESULT = Path(__file__).parent / "results" / "report_open.json"
TIMES = 9
BOUND_MS = 2000
LIMIT_MS = 60_000
# Resolves when the page has painted what it had to: a frame comes only when the main thread is free.
ANSWERS = """() => new Promise((done) => {
    const settle = () => requestAnimationFrame(() => requestAnimationFrame(() => {
        const painted = performance.getEntriesByName('first-contentful-paint')[0];
        const [entry] = performance.getEntriesByType('navigation');
        done({
            first_paint_ms: painted ? painted.startTime : null,
            dom_content_loaded_ms: entry.domContentLoadedEventEnd,
            loaded_ms: entry.loadEventEnd,
            answers_ms: performance.now(),
        });
    }));
    if (document.readyState === 'complete') settle(); else addEventListener('load', () => setTimeout(settle));
})"""


def opened(browser: Browser, document: Path) -> dict[str, float]:
    """Open a document once and return its times, in ms."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(document.as_uri(), wait_until="commit", timeout=LIMIT_MS)
    times: dict[str, float] = page.evaluate(ANSWERS)
    context.close()
    return times


def measure(document: Path, times: int) -> Iterator[dict[str, float]]:
    """Yield the times of each opening; the first, which reads the browser itself from disk, is left out."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=printed.browser(), args=["--no-sandbox"])
        opened(browser, document)
        for _ in range(times):
            yield opened(browser, document)
        browser.close()


def main(run: Path, times: int) -> None:
    """Measure, and write the result."""
    state = read_state(run)
    document = (run / "report.html").resolve()
    found = list(measure(document, times))
    facts = fingerprint.facts()
    told = {
        "chapters": [chapter.id for chapter in state.chapters],
        "bytes": document.stat().st_size,
        "machine": {name: facts[name] for name in ("cpu", "memory")},
        "date": time.strftime("%Y-%m-%d"),
        "times": len(found),
        "median": {key: round(statistics.median(each[key] for each in found)) for key in found[0]},
        "slowest": {key: round(max(each[key] for each in found)) for key in found[0]},
        "bound_ms": BOUND_MS,
    }
    RESULT.write_text(json.dumps(told, indent=1) + "\n")
    sys.stdout.write(f"{told}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else TIMES)
