"""A page from its template."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.files import write_text


def write(out: Path, template: str, **values: Any) -> None:
    """Render pipeline/<template>, HTML, with `values`; a value that the template asks for and that is missing is an error."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True)
    write_text(out, environment.get_template(template).render(**values))
