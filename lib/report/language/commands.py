"""The commands of `python -m lib language`: for those who translate the document."""

from pathlib import Path
from typing import Annotated

import typer

from lib.core import paths
from lib.core.errors import Exit

app = typer.Typer(help="The document's other languages: message catalogues.", no_args_is_help=True)
LanguageOption = Annotated[str, typer.Option("--lang", help="A language of the catalogues.")]


@app.command()
def update(language: LanguageOption = "ru") -> None:
    """Bring a catalogue into step with the sources; translations stay."""
    from lib.report.language import catalogue

    counted = catalogue.update(language)
    typer.echo(f"{counted['translated']} of {counted['messages']} messages are translated")


@app.command("export")
def give(
    folder: Annotated[Path, typer.Argument(help="A folder for 01.json, 02.json, …")],
    pieces: Annotated[int, typer.Option(help="Into how many files of one size.", min=1)] = 8,
    language: LanguageOption = "ru",
) -> None:
    """Write what is not translated yet, for translators."""
    from lib.report.language import catalogue, exchange

    missing = catalogue.untranslated(language)
    for file in exchange.write(missing, folder, pieces) if missing else []:
        typer.echo(paths.short(file))
    typer.echo(f"{len(missing)} messages")


@app.command("import")
def take(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of export, filled in.")],
    language: LanguageOption = "ru",
) -> None:
    """Take translations in; what would not fit its place is listed with the reason, the others are kept."""
    from lib.report.language import catalogue, exchange

    taken, refused = exchange.read(files)
    counted = catalogue.update(language, taken)
    for entry in refused:
        typer.echo(f"not taken: {entry.reason}: {entry.text}", err=True)
    typer.echo(f"{counted['translated']} of {counted['messages']} messages are translated")
    if refused:
        raise typer.Exit(Exit.FAILED)


@app.command()
def missing(
    run_id: Annotated[str, typer.Option("--run", help="A run's id.")] = "latest",
    language: LanguageOption = "ru",
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs.", show_default="runbook/runs")] = paths.RUNS,
    names: Annotated[bool, typer.Option("--names", help="Single words and names that stay as they are, too.")] = False,
) -> None:
    """List the sentences of a run's document that stay English in another language."""
    from lib.core.state import find
    from lib.report.language import bilingual, choice
    from lib.report.render import english

    speech = choice.speech(choice.chosen(language))
    bilingual.bilingual(english(find(run_id, runs)), speech, language, language)
    for text in sorted(speech.missing):
        typer.echo(text)
    for text in sorted(speech.kept) if names else []:
        typer.echo(f"as it is: {text}")
    if speech.missing:
        raise typer.Exit(Exit.FAILED)
