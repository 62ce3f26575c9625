"""Where a link may lead: the open web by http(s), or a place inside the document. Everything else becomes text."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

_WEB = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_NOTEBOOK = re.compile(r"(?:\.{0,2}/)*(?:notebooks/|chapters/)?(\d\d)_\w+\.ipynb(?:#.*)?")
_ANCHOR = re.compile(r"#[\w.-]+")


@dataclass(frozen=True)
class Links:
    """The places that a document has.

    Parameters
    ----------
    chapters : collection of str
        Two-digit ids of the chapters in the document.
    files : mapping of str to str
        Path below the run's folder to the anchor of the raw file's entry.
    records : mapping of str to str
        Name of a record to the anchor of its first row in the evidence list.
    """

    chapters: Collection[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, address: str) -> str | None:
        """Return the address to use in the document, or None where there is nothing to link to.

        A notebook becomes its chapter, a raw file its entry in the appendix: both hold when the file travels alone.
        """
        address = address.strip()
        if _WEB.fullmatch(address) or _ANCHOR.fullmatch(address):
            return address
        notebook = _NOTEBOOK.fullmatch(address)
        if notebook and notebook[1] in self.chapters:
            return f"#chapter-{notebook[1]}"
        anchor = self.files.get(address.removeprefix("../"))
        return f"#{anchor}" if anchor else None

    def record(self, name: str) -> str | None:
        """Return the address of a record in the evidence list, or None if the run has no such record."""
        anchor = self.records.get(name)
        return f"#{anchor}" if anchor else None
