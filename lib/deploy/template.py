"""Templates: Jinja with undefined names as errors, so that a forgotten value never becomes an empty setting."""

import re

import jinja2

from lib.core import paths
from lib.core.errors import RunbookError

_COMMENT = re.compile(r'\A(?:#!.*\n)?((?:(?:#|//) ?.*\n)+|"""(?:.|\n)*?""")')
_SENTENCE = re.compile(r".*?\.(?=\s|$)|.+")


class Rendered(str):
    """A text that remembers the template it was rendered from; whatever is made from it does not."""

    __slots__ = ("template",)
    template: str


def origin(text: str) -> str:
    """Return the template that a text was rendered from, below runbook/templates; empty where there is none."""
    return text.template if isinstance(text, Rendered) else ""


def purpose(text: str) -> str:
    """Return why a file is there: the first sentence of the comment that it begins with; empty without one."""
    found = _COMMENT.match(text)
    if not found:
        return ""
    words = " ".join(re.sub(r'^(?:#|//|""")|"""$', "", line).strip() for line in found[1].splitlines()).strip()
    first = _SENTENCE.match(words)
    return first[0] if first else ""


def render(name: str, **values: object) -> Rendered:
    """Render a template of runbook/templates.

    Raises
    ------
    RunbookError
        The template is missing, broken, or names a value that was not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - these become unit and YAML files, not HTML
    )
    try:
        text = Rendered(environment.get_template(name).render(**values))
    except jinja2.TemplateError as error:
        raise RunbookError(
            f"template: {type(error).__name__}: {error}",
            where=f"runbook/templates/{name}",
            fix=f"git diff runbook/templates/{name}",
        ) from error
    text.template = name
    return text
