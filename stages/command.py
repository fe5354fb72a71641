"""Turn a function into a stage's command line."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from pipeline.errors import InputError, Stopped


def run(main: Callable[..., Any]) -> None:
    """Run `main` with the arguments of the command line; bad input is one message and exit status 1, being stopped 130."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app(standalone_mode=True)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except (InputError, FloatingPointError, OSError) as error:  # an OSError names its path and reason
        if os.environ.get("SR_DEBUG", "0") not in ("", "0"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
