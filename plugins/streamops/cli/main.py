"""Entry point of the `streamops` command.

Every other module of this package is one verb, named like the module (`_` becomes `-`), but for those whose names begin
with `_`: they are what several verbs share. A verb defines either

    app = typer.Typer(help=...)     a verb with sub-verbs (`streamops stack up`)
    def command(...): ...           a plain verb (`streamops jars`); its docstring is the help

Results go to stdout, progress and errors to stderr. An error for a person (`StreamopsError`) is printed without a
traceback, and its `exit_code` is the exit status; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import typer

import streamops
import streamops.cli
from streamops.errors import StreamopsError

#: Exit status after Ctrl-C, as shells have it: 128 + SIGINT.
INTERRUPTED = 130


def verbs() -> dict[str, str]:
    """Every verb and the module that defines it, sorted: `{"jars": "streamops.cli.jars", ...}`."""
    modules = sorted(module.name for module in pkgutil.iter_modules(streamops.cli.__path__))
    found = (name for name in modules if name != "main" and not name.startswith("_"))
    return {name.replace("_", "-"): f"streamops.cli.{name}" for name in found}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command for these arguments.

    Only the module of the verb asked for is imported, so that a verb's start-up does not pay for all the others.
    """
    app = typer.Typer(
        name="streamops",
        help=streamops.__doc__,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    available = verbs()
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, module in available.items():
        if asked not in available or asked == name:
            _register(app, name, importlib.import_module(module))
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. `arguments` are those after the program's name."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build(given)(args=given, prog_name="streamops")
    except StreamopsError as error:
        typer.echo(f"streamops: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _register(app: typer.Typer, name: str, module: ModuleType) -> None:
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
    else:
        app.command(name)(module.command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(streamops.__version__)
        raise typer.Exit


def _options(
    _version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Takes the options that come before any verb."""


if __name__ == "__main__":
    main()
