"""The command line: which command lives in which module, and what happens to errors.

Command modules are imported when they are called, so `softprompt --help` starts at once. Commands raise
`SoftpromptError`; only `main` turns errors into words and exit codes: 0 done, 1 it did not work, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from softprompt import __version__
from softprompt.errors import SoftpromptError, UsageError

COMMANDS = {
    "models": "Foundation models: list, show, pull.",
    "data": "Datasets: check, repair, split.",
    "tune": "Tune a soft prompt on labelled rows.",
    "generate": "Ask a foundation model or a tuned prompt.",
    "evaluate": "Compare prompting, a linear model and tuned prompts on held-out rows.",
    "import": "Bring in a prompt from PEFT or caikit.",
    "demo": "The whole lab on the sample task: check, tune, prove.",
    "up": "Start a whole studio on this machine.",
    "projects": "Projects of a studio: create, list, show, delete.",
    "datasets": "Datasets of a studio: list, show, upload, delete.",
    "runs": "Tuning runs of a studio: start, watch, compare, cancel, list, delete.",
    "evaluations": "Evaluations of a studio: start, list, show, cancel, delete.",
    "prompts": "Tuned prompts of a studio: list, show, download, promote, delete.",
    "spaces": "Spaces of a studio: create, list, show, delete.",
    "deployments": "What answers under which name: create, list, delete.",
    "api": "Any request to a studio, for jobs without a command of their own.",
    "status": "What of a studio runs.",
    "keys": "API keys and sign-in links of a studio.",
    "doctor": "What is wrong with a studio or this machine, and what to do.",
    "backup": "Everything of a studio into one file, while it runs.",
    "restore": "A studio from such a file.",
    "web": "One web process of a studio.",
    "worker": "One process that tunes.",
    "serve": "One process that generates.",
}
"""Name of the command and its line in the help. The module has the same name and an `app`, or a function `command`."""

OF_A_STUDIO = ("projects", "datasets", "runs", "evaluations", "prompts", "spaces", "deployments", "api")
"""Commands that also speak to a running studio elsewhere: `softprompt --url URL …`."""

_MODULES = {"import": "import_prompt"}
"""Commands whose name cannot be a module's."""

_INTERRUPTED = 130
_KEY = "SOFTPROMPT_API_KEY"


class LazyGroup(TyperGroup):
    """A group that knows its commands' names and help lines and imports a command's module when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"softprompt.cli.{_MODULES.get(cmd_name, cmd_name)}")
        app = getattr(module, "app", None)
        if app is None:
            app = new_app()
            app.command(cmd_name)(module.command)
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def new_app(**settings: Any) -> typer.Typer:
    """A typer application in the house's style: plain help, no completion options, no decorated traces."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


app = new_app(cls=LazyGroup, no_args_is_help=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"softprompt {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help=f"A running studio, for {', '.join(OF_A_STUDIO)}; key: {_KEY}."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not check the certificate of --url.")] = False,
) -> None:
    """Tune soft prompts for frozen foundation models, prove them on held-out data and use them."""
    if (url or insecure) and context.invoked_subcommand not in OF_A_STUDIO:
        raise UsageError(f"--url: `softprompt {context.invoked_subcommand}` works on this machine. Leave --url out.")
    context.obj = {"url": url, "insecure": insecure}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program. Standard output carries the result and nothing else; all words about errors go to standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="softprompt", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:  # typer has swallowed the KeyboardInterrupt
            return _tell("interrupted", "interrupted", _INTERRUPTED, as_json)
        return code if isinstance(code, int) else 0
    except SoftpromptError as error:
        return _tell(error.code, str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _tell("interrupted", "interrupted", _INTERRUPTED, as_json)
    except BrokenPipeError:  # `softprompt … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if hasattr(error, "format_message"):  # the parser's own errors; their class has moved between versions of typer
            return _tell_usage(error, as_json)
        if os.environ.get("SOFTPROMPT_DEBUG") == "1":
            raise
        words = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return _tell("internal", f"internal error: {words}; run with SOFTPROMPT_DEBUG=1 for the trace", 1, as_json)


def _tell_usage(error: Any, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return 2
    context = getattr(error, "ctx", None)
    hint = f" Try '{context.command_path} --help'." if context is not None else ""
    return _tell("invalid_request", f"{error.format_message()}{hint}", 2, as_json)


def _tell(code: str, message: str, exit_code: int, as_json: bool) -> int:
    if as_json:
        from softprompt.cli.output import print_json

        print_json({"error": {"code": code, "message": message}})
    else:
        typer.echo(f"error: {message}", err=True)
    return exit_code
