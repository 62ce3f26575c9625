"""The commands of `python -m lib review`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lib.core import evidence, paths
from lib.core.errors import Exit, RunbookError
from lib.core.state import find, read_state
from lib.report.review import store

app = typer.Typer(help="The expert's annotations: take them in, apply corrections, answer.", no_args_is_help=True)
RunsOption = Annotated[Path, typer.Option("--runs", help="Folder of runs.", show_default="runbook/runs")]
Number = Annotated[str, typer.Argument(metavar="ID", help="The annotation's short number, from review list.")]
WordsArgument = Annotated[str, typer.Argument(help="What the reviewer will read.")]


@app.command("import")
def take(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exports of one reviewer or several.")],
    runs: RunsOption = paths.RUNS,
) -> None:
    """Take annotations in. What is not valid is listed with its reason; the others are kept."""
    from lib.report.review import annotation

    pages = [(file, annotation.read(file)) for file in files]
    for file, page in pages:
        counted = store.add(page.annotations, _evidence(runs))
        told = ", ".join(f"{count} {name}" for name, count in counted.items() if count) or "nothing"
        typer.echo(f"{paths.short(file)}: {told}")
        for refused in page.refused:
            typer.echo(f"  not taken: {refused.item}: {refused.reason}", err=True)
    if any(page.refused for _, page in pages):
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def show_all(
    state: Annotated[str, typer.Option(help="open, applied, declined or closed; default: all.")] = "",
) -> None:
    """List the annotations and where each stands."""
    from lib.report.review import correct

    table = Table("id", "by", "says", "corrects", "severity", "state", box=None)
    for entry in store.entries():
        if state and entry.state != state:
            continue
        said = entry.annotation
        corrects = f"{said.corrects.path} {said.corrects.cell}".strip() if said.corrects else ""
        commit = f" {correct.commit_of(entry)}" if entry.state == "applied" else ""
        words = (said.words or said.verdict).replace("\n", " ")
        row = (said.number, said.creator.name, words[:60], corrects, said.severity, f"{entry.state}{commit}")
        table.add_row(*map(escape, row))
    Console().print(table)


@app.command()
def show(number: Number) -> None:
    """Show one annotation: words, place, history, and its correction as a diff."""
    from lib.report.review import correct
    from lib.report.review.annotation import visible

    entry = store.get(number)
    said = entry.annotation
    typer.echo(f"{said.creator.name}, {said.created:%Y-%m-%d %H:%M}, {said.motivation}, {said.severity}, {entry.state}")
    if said.target.quote:
        typer.echo(f"> {visible(said.target.quote.exact)}")
    typer.echo(said.words or said.verdict)
    for event in entry.history:
        typer.echo(f"{event.time:%Y-%m-%d %H:%M} {event.state} {visible(event.words)}".rstrip())
    if said.replacement is not None and entry.state == "open":
        typer.echo(correct.patch(entry).diff)


@app.command()
def apply(
    numbers: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    all_open: Annotated[bool, typer.Option("--all", help="Every open correction, oldest first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    run: Annotated[bool, typer.Option(help="Run the affected chapters again afterwards.")] = True,
    runs: RunsOption = paths.RUNS,
) -> None:
    """Turn corrections into commits: each is shown as a diff first, then the affected chapters run again.

    With --all, what is refused is said and the others go on.
    """
    from lib.report.review import correct

    wanted = [store.get(number) for number in numbers or []]
    if all_open:
        known = [entry for entry in store.entries() if entry.state == "open" and entry.annotation.corrects]
        wanted += [entry for entry in known if entry not in wanted]
    if not wanted:
        raise RunbookError("no correction named", nearest="--all", fix="python -m lib review list --state open")
    applied, refused = 0, 0
    for entry in wanted:
        try:
            patch = correct.patch(entry)
            typer.echo(patch.diff)
            if yes or typer.confirm(f"apply {entry.annotation.number}?", default=False):
                typer.echo(f"applied in {correct.apply(patch)}")
                applied += 1
        except RunbookError as error:
            if not all_open:
                raise
            typer.echo(str(error), err=True)
            refused += 1
    if applied and run:
        _run_again(runs)
    if refused:
        raise typer.Exit(Exit.FAILED)


@app.command()
def reply(number: Number, words: WordsArgument) -> None:
    """Answer an annotation; it stays as it is."""
    entry = store.get(number)
    store.save(entry.then(entry.state, words))


@app.command()
def decline(number: Number, words: WordsArgument) -> None:
    """Decline an annotation, with the reason."""
    store.save(store.get(number).then("declined", words))


@app.command()
def close(number: Number, words: Annotated[str, typer.Argument(help="A last word.")] = "") -> None:
    """Close an annotation that asks for nothing more."""
    store.save(store.get(number).then("closed", words))


@app.command()
def pack(
    run_id: Annotated[str, typer.Option("--run", help="A run's id.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="A folder; default: one beside the run's folder.")] = None,
    runs: RunsOption = paths.RUNS,
) -> None:
    """Write what is sent to a reviewer: the document, an archive of the evidence, and a post to find one."""
    from lib.report.review import pack as packs

    for file in packs.write(find(run_id, runs), out):
        typer.echo(paths.short(file))


def _evidence(runs: Path) -> list[evidence.AnyRecord]:
    """Return the evidence of the latest run, if there is one: the numbers that the reviewer read."""
    try:
        return evidence.read(find("latest", runs) / "evidence.jsonl")
    except RunbookError:
        return []


def _run_again(runs: Path) -> None:
    """Run again as the latest run was, in mode plan: what a correction did not touch is reused."""
    from lib.core import profile
    from lib.core.run import Run
    from lib.report.render import render

    try:
        state = read_state(find("latest", runs))
    except RunbookError:
        typer.echo("no run to repeat: python -m lib run")
        return
    chosen = profile.load(state.profile, state.overrides)
    only = [chapter.id for chapter in state.chapters]
    again = Run(chosen, "plan", state.overrides, only, runs=runs)
    code = again.execute()
    typer.echo(f"document: {paths.short(render(again.folder))}")
    if code:
        raise typer.Exit(code)
