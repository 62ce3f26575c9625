"""A real Chromium without network, and the document of the sample run."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from report.sample_run import build

from lib.report.render import render

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Visit:
    """A page that was opened, what it asked for, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(build(tmp_path_factory.getbasetemp() / "sample"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one module: while it is open, its event loop is this thread's, and no later test could have one."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: sudo apt-get install -y --no-install-recommends chromium")
    with sync_playwright() as playwright:
        # The sandbox needs rights that containers and root do not give; the page is our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, document: Path) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens the document offline, at a width, with further context options."""
    contexts = []

    def open_document(width: int = 1440, height: int = 900, place: str = "", **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        opened = Visit(context.new_page())

        def record(route: Route) -> None:
            address = route.request.url
            if address.startswith("file://"):
                route.continue_()
            else:
                opened.requests.append(address)
                route.abort()

        context.route("**/*", record)
        opened.page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.goto(f"{document.as_uri()}{place}")
        if options.get("java_script_enabled", True):
            opened.page.locator("html[data-laid-out]").wait_for(state="attached")
        return opened

    yield open_document
    for context in contexts:
        context.close()
