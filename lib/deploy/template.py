"""Templates: Jinja with undefined names as errors, so that a forgotten value never becomes an empty setting."""

import jinja2

from lib.core import paths
from lib.core.errors import RunbookError


def render(name: str, **values: object) -> str:
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
        return environment.get_template(name).render(**values)
    except jinja2.TemplateError as error:
        raise RunbookError(
            f"template: {type(error).__name__}: {error}",
            where=f"runbook/templates/{name}",
            fix=f"git diff runbook/templates/{name}",
        ) from error
