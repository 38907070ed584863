"""Pages from the templates of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def page_environment() -> jinja2.Environment:
    """The templates of the package; a name that a template is not given is an error.

    The page of a qualification has its own: its text is one for both packages, and finds the
    templates of either.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("trial_sim", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2", "html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
