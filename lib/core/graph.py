"""Which chapters run, in which order: each names what it needs, and the graph is checked before anything starts."""

from collections.abc import Iterable, Sequence

from lib.core.errors import RunbookError, nearest
from lib.core.notebook import Source


def select(sources: Sequence[Source], only: Iterable[str] = (), start: str = "") -> list[Source]:
    """Return the chapters to run, in order, together with everything that they need.

    Parameters
    ----------
    sources : sequence of Source
        All chapters in reading order.
    only : iterable of str
        Chapter ids; empty means all.
    start : str
        Begin at this chapter; what it needs is pulled in from before.

    Raises
    ------
    RunbookError
        Unknown chapter, a need that no notebook answers, or chapters that need each other.
    """
    known = {source.id: source for source in sources}
    wanted = [_known(chapter, known, "--only") for chapter in only] or list(known)
    if start:
        first = _known(start, known, "--from")
        wanted = [chapter for chapter in wanted if chapter >= first]
    chosen: dict[str, Source] = {}
    for chapter in wanted:
        _visit(chapter, known, chosen, trail=[])
    return [*(s for s in chosen.values() if not s.metadata.last), *(s for s in chosen.values() if s.metadata.last)]


def _visit(chapter: str, known: dict[str, Source], chosen: dict[str, Source], trail: list[str]) -> None:
    if chapter in chosen:
        return
    source = known[chapter]
    if chapter in trail:
        raise RunbookError("chapters need each other", where=" -> ".join([*trail, chapter]))
    for need in source.metadata.needs:
        if need not in known:
            raise RunbookError(
                f"chapter {chapter} needs '{need}', which no notebook is",
                where=f"notebooks/{source.path.name}, metadata.runbook.needs",
                nearest=nearest(need, known),
            )
        _visit(need, known, chosen, [*trail, chapter])
    chosen[chapter] = source


def _known(chapter: str, known: dict[str, Source], flag: str) -> str:
    if chapter in known:
        return chapter
    near = nearest(chapter.zfill(2), known)
    raise RunbookError(f"unknown chapter '{chapter}'", where=flag, nearest=near, fix=f"chapters: {', '.join(known)}")
