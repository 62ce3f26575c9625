"""What would change on a host: everything is looked at in one go, and each difference is shown with its reason."""

import base64
import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lib.core.evidence import Change
from lib.deploy import record, template
from lib.deploy.concerns import concerns, things
from lib.deploy.resources import File, Resource, Secret, Unit
from lib.deploy.resources.base import quote
from lib.deploy.site import Site
from lib.deploy.target import Target

_MARK = "@@runbook "


@dataclass(frozen=True)
class Difference:
    """One resource that is not as wanted: of which concern, what is there, and for a file its text."""

    concern: str
    resource: Resource
    actual: str
    content: str | None = None

    def change(self, host: str, status: str = "planned") -> Change:
        """Return it as a record."""
        kind, _, target = self.resource.key.partition(" ")
        before, after = self.texts()
        return Change.model_validate(
            {
                "name": f"deploy.{self.concern}.{kind}",
                "title": f"{host}: {self.resource.key}",
                "status": status,
                "target": target,
                "before": before,
                "after": after,
                "reason": self.resource.about.reason,
                "source": self.resource.about.source,
                "command": "\n".join(self.resource.commands),
                "undo": f"python -m lib deploy undo --host {host}",
                "template": template.origin(self.resource.content) if isinstance(self.resource, File) else "",
            }
        )

    def texts(self) -> tuple[str, str]:
        """Return what is there and what shall be: of a file its text with its mode, of anything else its state."""
        if not isinstance(self.resource, File):
            return self.actual, self.resource.wanted
        shall = f"# mode {self.resource.mode}, {self.resource.owner}:{self.resource.group}\n"
        shall += "(content is not shown)\n" if self.resource.private else self.resource.content
        words = self.actual.split()
        if words[0] != "file":
            return self.actual, shall
        there = "(content is not shown)\n" if self.resource.private else self.content or ""
        return f"# mode {words[1]}, {words[2]}:{words[3]}\n{there}", shall

    def diff(self) -> str:
        """Return a unified diff."""
        before, after = self.texts()
        there = [] if before == "absent" else before.splitlines()
        lines = difflib.unified_diff(there, after.splitlines(), "there", "wanted", lineterm="")
        return "\n".join([self.resource.key, *list(lines)[2:], *(f"  $ {line}" for line in self.resource.commands)])


def look(target: Target, resources: Sequence[Resource]) -> list[str]:
    """Return the state of every resource, asked for in one script."""
    parts = [
        f"echo '{_MARK}{number}'\n(\n{item.look}\n) 2>/dev/null </dev/null" for number, item in enumerate(resources)
    ]
    found = dict.fromkeys(range(len(resources)), "")
    for block in ("\n" + target.run("\n".join(parts), check=False)).split(f"\n{_MARK}")[1:]:
        number, _, text = block.partition("\n")
        found[int(number)] = text.strip()
    return list(found.values())


def plan(target: Target, site: Site, only: Collection[str] = ()) -> list[Difference]:
    """Return everything that would change, or what of the named concerns. Changes nothing."""
    return _with_contents(target, different(target, wanted(site, only)))


def wanted(site: Site, only: Collection[str] = ()) -> list[tuple[str, Resource]]:
    """Return everything that a host shall be, each with its concern."""
    return [(concern.name, item) for concern in concerns(site, only) for item in things(concern, site)]


def different(target: Target, pairs: Sequence[tuple[str, Resource]]) -> list[Difference]:
    """Return which of these resources, each with its concern, are not as wanted or were begun and not finished.

    A unit that runs as wanted is among them if a file that it reads is: it runs with the old one.
    """
    begun = set(record.unfinished(target))
    states = look(target, [item for _, item in pairs])
    found: list[Difference] = []
    changing: set[str] = set()
    for (name, item), now in zip(pairs, states, strict=True):
        outdated = isinstance(item, Unit) and not changing.isdisjoint(item.reads)
        if now == item.wanted and item.key not in begun and not outdated:
            continue
        found.append(Difference(name, item, f"{now}, with files that are replaced" if outdated else now))
        if isinstance(item, File | Secret):
            changing.add(item.path)
    return found


def _with_contents(target: Target, found: Iterable[Difference]) -> list[Difference]:
    """Fetch the text of files that will be replaced, for the diff; of private ones nothing is fetched."""
    items = list(found)
    wanted = {
        number: item.resource.path
        for number, item in enumerate(items)
        if isinstance(item.resource, File) and not item.resource.private and item.actual.startswith("file")
    }
    if not wanted:
        return items
    script = "\n".join(f"echo {number} $(base64 -w0 <{quote(path)})" for number, path in wanted.items())
    for line in target.run(script).splitlines():
        number, _, content = line.partition(" ")
        text = base64.b64decode(content).decode(errors="replace")
        old = items[int(number)]
        items[int(number)] = Difference(old.concern, old.resource, old.actual, text)
    return items
