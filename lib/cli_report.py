"""The commands of `python -m lib` about finished runs: `report`, `verify`, `compare` and `reference`."""

from pathlib import Path
from typing import Annotated

import typer

from lib.core import paths
from lib.core.errors import Exit

RunsOption = Annotated[Path, typer.Option("--runs", help="Folder of runs.", show_default="runbook/runs")]


def report(
    run_id: Annotated[str, typer.Option("--run", help="A run's id.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="Where to write; default: the run's folder.")] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print it too, beside the page; needs Chromium.")] = False,
    language: Annotated[str, typer.Option("--lang", help="en or ru: what it opens in; default: REPORT_LANG.")] = "",
    runs: RunsOption = paths.RUNS,
) -> None:
    """Render a run's document again."""
    from lib.core.state import find
    from lib.report import printed
    from lib.report.render import render
    from lib.report.seal import close

    folder = find(run_id, runs)
    written = render(folder, out, language=language)
    told = [written, printed.write(written)] if pdf else [written]
    if written.resolve().is_relative_to(folder.resolve()):
        for line in close.close(folder).told:
            typer.echo(line)
    for file in told:
        typer.echo(paths.short(file))


def verify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="A run's folder, wherever it lies now.")],
    key: Annotated[Path | None, typer.Option("--key", help="The owner's public key: whose seal is it?")] = None,
) -> None:
    """Tell from a run's folder alone whether anything in it was changed, added or lost. Changes nothing."""
    from lib.report.seal.verify import verify as verified

    verdict = verified(run_folder, key)
    for fault in verdict.faults:
        typer.echo(fault)
    typer.echo(verdict.told)
    raise typer.Exit(Exit.FAILED if verdict.faults else Exit.GREEN)


def compare(
    before: Annotated[Path, typer.Argument(metavar="RUN_A", help="The earlier run's folder.")],
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="The later run's folder.")],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page too.")] = None,
) -> None:
    """Tell what changed from one run to another: facts, checks, decisions, and measurements by their intervals."""
    from lib.report.compare import page, text
    from lib.report.compare.differences import Run
    from lib.report.compare.differences import compare as compared

    sides = Run.read(before), Run.read(after)
    found = compared(*sides)
    if html:
        page.refuse_inside(html, before, after)
        written = page.write(*sides, found, html)
    for line in text.lines(found):
        typer.echo(line)
    if html:
        typer.echo(paths.short(written))


def reference(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN_FOLDER...", help="Folders of finished runs.")],
    name: Annotated[str, typer.Argument(help="Name of the bundle, for example h200-2026-11-24.")],
    folder: Annotated[Path, typer.Option(help="Where bundles are kept.", show_default="runbook/reference")] = (
        paths.RUNBOOK / "reference"
    ),
    cut_short: Annotated[
        bool, typer.Option("--cut-short", help="Take runs too that were cut short, when their machine is gone.")
    ] = False,
) -> None:
    """Bundle finished runs of one machine, for documents of other machines to show beside their own numbers."""
    from lib.report import bundle

    typer.echo(paths.short(bundle.write(run_folders, name, folder, cut_short)))
