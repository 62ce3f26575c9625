"""The whole loop: a run, an expert at its document, his file taken in, corrections as commits, the next document."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import expert
from browser.conftest import CHROMIUM
from playwright.sync_api import Page, sync_playwright
from report.review.reviews import correction, export, item

from lib.core import paths
from lib.core.notebook import sources

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


class Project:
    """A copy of this project in a repository of its own, so that commits may be made in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def lib(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "RUNBOOK_CACHE": str(paths.CACHE)}
        command = [sys.executable, "-m", "lib", *words]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False, env=environment)

    @property
    def document(self) -> Path:
        return self.root / "runbook/runs/latest/report.html"

    def numbers(self) -> dict[str, str]:
        """State of every annotation, by its short number."""
        files = (self.root / "runbook/review").glob("*.json")
        entries = {file.stem: json.loads(file.read_text()) for file in files}
        return {name: (entry["history"] or [{"state": "open"}])[-1]["state"] for name, entry in entries.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Copy what git knows of this project, and run two short chapters there."""
    root = tmp_path_factory.mktemp("project")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=paths.ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (paths.ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((paths.ROOT / name).read_bytes())
    made = Project(root)
    for words in (
        ["init", "--quiet"],
        ["config", "user.name", "Owner"],
        ["config", "user.email", "owner@example.org"],
        ["add", "."],
        ["commit", "--quiet", "-m", "Start"],
    ):
        made.git(*words)
    done = made.lib("run", "--only", "01,03")
    assert made.document.exists(), done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def page(project: Project) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: sudo apt-get install -y --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True, accept_downloads=True)
        opened = context.new_page()
        opened.goto(project.document.as_uri())
        yield opened
        browser.close()


def correct(page: Page, chapter: str, number: int, words: str) -> None:
    """Put a sentence at the end of a chapter's prose, as a correction."""
    place = page.locator(f"#chapter-{chapter} .prose[data-cells]").nth(number)
    expert.open_on(page, place)
    expert.say(page, words, kind="editing", severity="minor", text=f"{expert.source(page)}\n\n{words}")


def test_the_loop(project: Project, page: Page, tmp_path: Path) -> None:
    for number in range(3):
        correct(page, "03", number, f"Corrected sentence {number}.")
    file = page.locator(".file[data-path='runbook/profiles/embedded.yml']")
    file.locator("summary").click()
    expert.open_on(page, file)
    text = expert.source(page)
    expert.say(page, "Eight are safer.", kind="editing", text=text.replace("minimum_gib: 6", "minimum_gib: 8"))
    template = page.locator(".file[data-path^='runbook/templates/systemd']").first
    template.locator("summary").click()
    expert.open_on(page, template)
    expert.say(page, "Say whose it is.", kind="editing", text=f"# Reviewed.\n{expert.source(page)}")
    expert.mark(page, page.locator("#chapter-01 .prose[data-cells]").first, "profile")
    page.keyboard.press("Alt+Shift+A")
    expert.say(page, "Какой именно профиль?", severity="major")
    page.locator("#annotator-sheet summary").click()
    page.locator("#annotator-verdict").click()
    expert.say(page, "To be read again.", kind="rejected")
    review = expert.export(page, tmp_path)

    taken = project.lib("review", "import", str(review))
    assert (taken.returncode, "7 new" in taken.stdout) == (0, True), taken.stdout + taken.stderr
    again = project.lib("review", "import", str(review))
    assert "7 known" in again.stdout

    before = project.git("rev-parse", "HEAD").strip()
    applied = project.lib("review", "apply", "--all", "--yes")
    assert applied.stdout.count("applied in ") == 5, applied.stdout + applied.stderr
    subjects = project.git("log", "--format=%s", f"{before}..HEAD").splitlines()
    assert sorted(subjects) == sorted(
        [f"Review: Corrected sentence {n}." for n in range(3)]
        + ["Review: Eight are safer.", "Review: Say whose it is."]
    )
    assert sorted(project.numbers().values()) == ["applied"] * 5 + ["open"] * 2

    document = project.document.read_text(encoding="utf-8")
    assert document.count('class="note applied"') == 5
    assert "Corrected sentence 2." in document
    assert "Какой именно профиль?" in document
    assert "rejected</strong> an earlier edition" in document
    state = json.loads((project.root / "runbook/runs/latest/run.json").read_text())
    assert {chapter["id"]: chapter["status"] for chapter in state["chapters"]}.keys() == {"01", "03"}


def test_hostile_and_outdated_things_are_refused_by_name(project: Project, tmp_path: Path) -> None:
    notebook = next(source.path.name for source in sources() if source.id == "03")
    outdated = correction(f"notebooks/{notebook}", "a text that never stood there", "b", cell="title")
    hostile = item("<script>document.title=1</script>", element="front")
    broken = item() | {"id": "urn:uuid:../../etc/passwd"}
    huge = item("x" * (1 << 20))
    done = project.lib("review", "import", str(export(tmp_path, outdated, hostile, broken, huge)))
    assert (done.returncode, "2 new" in done.stdout) == (1, True)
    assert done.stderr.count("not taken") == 2
    number = outdated["id"].removeprefix("urn:uuid:")[:8]
    refused = project.lib("review", "apply", number, "--yes")
    assert refused.returncode == 3
    assert "has changed since it was read" in refused.stderr
    assert project.lib("review", "decline", number, "It never stood there.").returncode == 0
    listed = project.lib("review", "list", "--state", "declined").stdout
    assert number in listed
    unknown = project.lib("review", "show", number[:-1] + "x")
    assert (unknown.returncode, number in unknown.stderr) == (2, True)
    assert project.lib("report").returncode == 0
    document = project.document.read_text(encoding="utf-8")
    assert "<script>document.title=1" not in document
    assert "It never stood there." in document
