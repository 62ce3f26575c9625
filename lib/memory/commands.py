"""The commands of `python -m lib memory`; their words, not their work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lib.core import profile as profiles
from lib.core.errors import Exit, RefusedError
from lib.core.sections import Profile

# Chroma takes seconds to import: only commands of the memory pay for it.
if TYPE_CHECKING:
    from lib.memory.ingest import Report
    from lib.memory.service import Memory

app = typer.Typer(help="The memory: files and chats that the models can look things up in.", no_args_is_help=True)
ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="A profile of runbook/profiles.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set memory.top=5")
]
EndpointOption = Annotated[str, typer.Option(help="Address of the embedding server; default: the profile's.")]
EXCERPT = 160


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="A file, or a folder, which is then watched.")],
    profile_name: ProfileOption = "embedded",
    endpoint: EndpointOption = "",
    overrides: SetOption = None,
) -> None:
    """Remember a file or a folder."""
    with _open(profile_name, endpoint, overrides) as memory:
        _tell(memory.add(path))


@app.command()
def watch(profile_name: ProfileOption = "embedded", endpoint: EndpointOption = "", overrides: SetOption = None) -> None:
    """Watch all folders until interrupted; what is saved is found a moment later."""
    from lib.memory.watch import Watcher

    with _open(profile_name, endpoint, overrides) as memory:
        typer.echo(f"watching {', '.join(memory.roots) or 'no folder yet: python -m lib memory add FOLDER'}")
        Watcher(memory, _tell).run()


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="In any words.")],
    count: Annotated[int, typer.Option(help="How many; default: the profile's memory.top.")] = 0,
    profile_name: ProfileOption = "embedded",
    endpoint: EndpointOption = "",
    overrides: SetOption = None,
) -> None:
    """Show what answers a question, with file and place; by words alone where no embedding server is named."""
    with _look(profile_name, endpoint, overrides) as memory:
        for hit in memory.search(question, count).hits:
            below = " > ".join(hit.heading)
            typer.echo(f"{hit.path}, bytes {hit.start}-{hit.end}{f', {below}' if below else ''}  [{hit.score:.4f}]")
            typer.echo(f"    {' '.join(hit.text.split())[:EXCERPT]}")


@app.command()
def forget(
    target: Annotated[str, typer.Argument(help="As answers name it: notes/plan.md, or a folder: notes.")],
    profile_name: ProfileOption = "embedded",
    overrides: SetOption = None,
) -> None:
    """Delete a source from store, index and disk. The owner's file stays, and is passed over until he adds it."""
    with _bare(profile_name, overrides) as memory:
        gone = memory.forget(target)
    typer.echo(f"forgotten: {len(gone.paths)} sources, {gone.chunks} chunks")


@app.command()
def stats(profile_name: ProfileOption = "embedded", overrides: SetOption = None) -> None:
    """Show what the memory holds."""
    with _look(profile_name, "", overrides) as memory:
        typer.echo(f"model      {memory.store.space.key}")
        for name, number in memory.store.manifest.counts().items():
            typer.echo(f"{name:10} {number}")
        for name, folder in memory.roots.items():
            typer.echo(f"root       {name}: {folder}")
        for path, source in memory.store.manifest.sources().items():
            if source.refused:
                typer.echo(f"refused    {path}: {source.refused}")


@app.command()
def rebuild(
    profile_name: ProfileOption = "embedded", endpoint: EndpointOption = "", overrides: SetOption = None
) -> None:
    """Embed everything with the profile's model beside what is in use, and switch at once; or build the index anew."""
    from lib.memory import service

    profile = _profile(profile_name, overrides)
    new = service.embedder(profile, endpoint)
    with _bare(profile_name, overrides) as memory:
        same = memory.store.space.key == f"{new.model}/{new.dimension}"
        embedded = memory.renew(None if same else new)
        typer.echo(f"{embedded} chunks embedded, {len(memory.store.manifest.ids())} in the new index")


@app.command()
def verify(profile_name: ProfileOption = "embedded", overrides: SetOption = None) -> None:
    """Compare manifest, Chroma and lexical index, every chunk of them."""
    with _bare(profile_name, overrides) as memory:
        wrong = memory.store.disagreements()
        for line in wrong or [f"{len(memory.store.manifest.ids())} chunks in manifest, Chroma and lexical index"]:
            typer.echo(line)
    raise typer.Exit(Exit.FAILED if wrong else Exit.GREEN)


def _profile(name: str, overrides: list[str] | None) -> Profile:
    return profiles.load(name, dict(profiles.parse_override(text) for text in overrides or []))


def _open(name: str, endpoint: str, overrides: list[str] | None) -> "Memory":
    from lib.memory.service import Memory

    return Memory.open(_profile(name, overrides), endpoint=endpoint)


def _bare(name: str, overrides: list[str] | None) -> "Memory":
    """Open what is there, without an embedding server: to look at it, to delete from it."""
    from lib.memory.service import Memory

    return Memory(_profile(name, overrides).memory, None)


def _look(name: str, endpoint: str, overrides: list[str] | None) -> "Memory":
    """Open for reading where another process writes, the gateway for instance."""
    from lib.memory import service
    from lib.memory.service import Memory

    profile = _profile(name, overrides)
    named = endpoint or profile.memory.endpoint
    model = service.embedder(profile, endpoint) if named else None
    try:
        return Memory(profile.memory, model, service.reranker(profile))
    except RefusedError:
        return Memory(profile.memory, model, service.reranker(profile), writable=False)


def _tell(report: "Report") -> None:
    typer.echo(
        f"{report.stored} stored, {report.unchanged} unchanged, {report.removed} gone, "
        f"{report.embedded} of {report.chunks} chunks embedded, {report.seconds:.1f} s"
    )
    for path, reason in report.refused:
        typer.echo(f"refused {path}: {reason}")
