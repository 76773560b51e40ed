"""The list of commands, and the one place where failures become a sentence and an exit code.

Nothing heavy is imported here: ``mild --help`` answers before numpy, let alone torch, would have been read. A command's
module is imported only when that command was asked for.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from mild import __version__, machine
from mild.app.cli import streams
from mild.errors import Cancelled, MildError
from mild.extras import extra_of, sentence

#: Set to anything, it shows the traceback of whatever ended the command.
DEBUG_VARIABLE = "MILD_DEBUG"

COULD_NOT, WRONG_USAGE, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Command:
    """Where a command lives.

    Attributes:
        target: ``"module:name"`` of a function (one command) or of a :class:`typer.Typer` (a group of commands). Any
            module of the package may offer one; it is imported when the command is used, not before.
        help: the line shown by ``mild --help``; the target's own docstring is shown by ``mild NAME --help``.
        extra: whose packages it needs, if any.
    """

    target: str
    help: str
    extra: str = ""

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


#: Every command of ``mild``, in the order of its help. To add one, add a line.
COMMANDS: dict[str, Command] = {
    "people": Command("mild.app.cli.people:people", "Find the people in a photo: a numbered picture and a table."),
    "erase": Command("mild.app.cli.erase:erase", "Erase chosen people from a photo."),
    "batch": Command("mild.app.cli.batch:batch", "Erase people from many photos; goes on after whatever stopped it."),
    "plate": Command("mild.app.cli.plate:plate", "A place without anybody, from a video; for erase --also."),
    "layers": Command("mild.app.cli.layers:layers", "Take a photo apart: the background and one layer per person."),
    "compose": Command("mild.app.cli.compose:compose", "Put a layered file together again: hide, show, to the front."),
    "check": Command("mild.app.cli.check:check", "Look for remains of who was erased anywhere in a file."),
    "studio": Command(
        "mild.app.studio.command:studio", "Erase people in the browser; nothing leaves this machine.", "server"
    ),
    "serve": Command("mild.app.cli.serve:serve", "Serve the HTTP API on this machine.", "server"),
    "data": Command("mild.app.cli.data:data", "Make data sets: synthesise, curate, validate, describe.", "data"),
    "train": Command("mild.app.cli.train:train", "Train a model; measure what each part of the method gives.", "train"),
    "bench": Command("mild.app.cli.bench:bench", "The benchmark: run it, compare two runs, ask people.", "bench"),
    "models": Command("mild.app.cli.models:models", "Which models are installed, from where, under which licence."),
    "doctor": Command("mild.app.cli.doctor:doctor", "What works on this machine, how fast, and what is missing."),
    "cache": Command("mild.app.cli.cache:cache", "What MILD keeps on this machine, and how to clear it."),
}


#: Commands that are groups of commands.
GROUPS = ("data", "train", "bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mild {__version__}")
        raise typer.Exit


def build(asked: str) -> Any:
    """The application, with the command ``asked`` (if there is one) imported and the others known by name only."""
    app = typer.Typer(
        name="mild",
        help="Chosen people leave a photo, layer by layer; everybody else stays as they are.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
        ] = False,
    ) -> None:
        """Chosen people leave a photo, layer by layer; everybody else stays as they are."""

    for name, command in COMMANDS.items():
        target = command.load() if name == asked else _placeholder
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, short_help=command.help)
        else:
            app.command(name, short_help=command.help)(target)
    return _literal(typer.main.get_command(app))


def _literal(command: Any) -> Any:
    """The command with its help texts as they are written: to Rich ``[default: 1]`` would be a style, and vanish."""
    for part in (command, *command.params):
        if isinstance(text := getattr(part, "help", None), str):
            part.help = text.replace("[", "\\[")
    for inner in getattr(command, "commands", {}).values():
        _literal(inner)
    return command


def _placeholder() -> None:
    """Stands in the help for a command that was not asked for."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run ``mild`` with these arguments (default: the process's) and end the process with its exit code."""
    streams.prepare()
    streams.end_like_ctrl_c()
    given = list(sys.argv[1:] if argv is None else argv)
    code = run(given)
    if (why := streams.lost()) is not None:
        # Where a command's output is a file, it is there; where it is what is printed, the command has failed.
        wrote = next((word for word in given if not word.startswith("-")), "") in (
            "erase",
            "layers",
            "compose",
            "batch",
        )
        code = code if wrote else code or COULD_NOT
        _fail(f"What was to be printed could not be ({why}); files were written as asked.", code)
    sys.exit(code)


#: What the system may refuse at any place, and what is said of it where the system's own words do not tell what to do.
_PLACES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ELOOP, errno.ENOENT), ""),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "No space left on device; make room, or name another place"),
    errno.EEXIST: "a file of that name is there already; name another",
    errno.ENOTDIR: "what should be its folder is a file; name another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENAMETOOLONG: "the name is too long",
}


def run(argv: Sequence[str]) -> int:
    """Run ``mild`` and return the exit code: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""
    argv = list(argv) or ["--help"]
    _quieten()
    # A shell that completes a line hands it over in a variable.
    words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]
    # The program's own options are switches, so the first word that is no option names the command.
    asked = next((word for word in (words or argv) if not word.startswith("-")), "")
    try:
        machine.threads()  # nonsense there is said before the work
        code = build(asked)(argv, prog_name="mild", standalone_mode=False)
        # Some versions of typer turn Ctrl-C into this code by themselves, others let it through.
        return _stopped() if code == INTERRUPTED else code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort, Cancelled):
        return _stopped()
    except typer.Exit as stop:
        return int(stop.exit_code)
    except MildError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = extra_of(error, COMMANDS[asked].extra) if asked in COMMANDS else None
        if extra is None:
            return _unexpected(error)
        what = (
            " ".join(["mild", *[word for word in argv if word.isalpha()][:2]]) if asked in GROUPS else f"mild {asked}"
        )
        return _fail(sentence(f"`{what}`", extra, module=error.name or ""), COULD_NOT)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone. Point stdout elsewhere, or the flush at exit complains too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT
    except OSError as error:
        # Somebody else's folder, a read-only or a full disk, where nobody looked: no fault of the program's. Where a
        # file was open already, the system does not say which.
        if error.errno in _PLACES and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
            what = error.filename if error.filename is not None else "A file"
            return _fail(f"{what} cannot be used: {_PLACES[error.errno] or error.strerror}.", COULD_NOT)
        return _unexpected(error)
    except MemoryError:
        return _fail(_no_memory(asked), COULD_NOT)
    except Exception as error:
        if "allocate memory" in str(error) or "out of memory" in str(error):  # as torch says it of both kinds of memory
            return _fail(_no_memory(asked), COULD_NOT)
        # Faults of the command line itself; by their method, since the class is typer's or click's by version.
        if hasattr(error, "format_message"):
            # The command that was meant, such as `mild data synth`, where the parser came so far.
            path = getattr(getattr(error, "ctx", None), "command_path", None) or "mild"
            what = error.format_message().strip().rstrip(".") or "Missing command"  # the help was shown instead
            return _fail(f"{what}. See `{path} --help`.", WRONG_USAGE)
        return _unexpected(error)


def _no_memory(asked: str) -> str:
    if asked in GROUPS:
        return "There is not enough memory; ask for less at once: smaller pictures or batches, fewer jobs."
    return "There is not enough memory for this photo; try a smaller one or a lower --resolution."


def _unexpected(error: Exception) -> int:
    what = f"{type(error).__name__}: {error}".strip().rstrip(":.").splitlines()[0]
    return _fail(f"MILD failed unexpectedly ({what}); set {DEBUG_VARIABLE}=1 to see where.", COULD_NOT)


def _quieten() -> None:
    """Keep the libraries' own bars and advice to programmers off the user's terminal."""
    if not os.environ.get(DEBUG_VARIABLE):
        # tqdm reads it when it is imported, which no command has done yet; the bar shown is `mild.app.cli.progress`'s.
        os.environ.setdefault("TQDM_DISABLE", "1")
        if not sys.warnoptions:
            warnings.simplefilter("ignore")


def _stopped() -> int:
    return _fail("Stopped; no half-written file was left.", INTERRUPTED)


def _fail(message: str, code: int) -> int:
    """One sentence on stderr (after the traceback, if the user asked for it)."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    print(f"mild: {' '.join(message.split())}", file=sys.stderr)
    return code
