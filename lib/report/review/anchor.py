"""Find the place of an annotation in an edition: where it was made, where its words moved to, or nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lib.report.review.annotation import Annotation, Quote

Anchoring = Literal["here", "moved", "lost"]


@dataclass(frozen=True)
class Place:
    """Where an annotation belongs.

    Parameters
    ----------
    state : Anchoring
        `here`: in the element where it was made, with its words. `moved`: the words stand in another element. `lost`:
        they stand nowhere, or the element is gone.
    element : str
        Id of the element; empty when lost.
    """

    state: Anchoring
    element: str = ""


def find(annotation: Annotation, places: Mapping[str, str]) -> Place:
    """Return where an annotation belongs in a document.

    Parameters
    ----------
    annotation : Annotation
        With the words that were marked, or only the element.
    places : mapping of str to str
        Element id to its text. What has no text (a plot, a heading) maps to what names it.
    """
    quote, own = annotation.target.quote, annotation.target.fragment
    if quote is None or not squeezed(quote.exact):
        return Place("here", own) if own in places else Place("lost")
    if own in places and squeezed(quote.exact) in squeezed(places[own]):
        return Place("here", own)
    holding = [name for name, text in places.items() if squeezed(quote.exact) in squeezed(text)]
    if not holding:
        return Place("lost")
    return Place("moved", max(holding, key=lambda name: (_agrees(quote, places[name]), _near(own, name))))


def squeezed(text: str) -> str:
    """Return a text with every run of white space as one blank: a page breaks lines as it likes."""
    return " ".join(text.split())


def _agrees(quote: Quote, text: str) -> int:
    """Count what stands around the words as it did: 2 for both sides, 0 for none."""
    whole = squeezed(text)
    before, after = squeezed(quote.prefix), squeezed(quote.suffix)
    at = whole.find(squeezed(quote.exact))
    end = at + len(squeezed(quote.exact))
    said = bool(before) and whole[:at].rstrip().endswith(before)
    follows = bool(after) and whole[end:].lstrip().startswith(after)
    return said + follows


def _near(own: str, other: str) -> int:
    """Length of what two ids share from the left: the same chapter first."""
    shared = 0
    for a, b in zip(own, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared
