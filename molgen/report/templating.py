"""Pages from templates: one environment, and what every page needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def environment() -> jinja2.Environment:
    """The templates of the package; a name that a template is not given is an error."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("molgen.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["moment"] = moment
    return made


def moment(created: str) -> str:
    """A record's time as it is read: 2026-01-31 12:00 UTC."""
    return created.replace("T", " ")[:16] + " UTC" if "+00:00" in created else created


def script_safe(text: str) -> Any:
    """JSON that cannot end the script element that it stands in."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))
