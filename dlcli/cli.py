"""The command line: four verbs and three that look around.

Nothing here imports torch or Hydra; a verb does so once its words are understood. Every error becomes a few lines.
"""

import atexit
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from dlcli import arguments, guide
from dlcli.errors import DlError, OutOfMemoryError
from dlcli.text import printable

LONGEST = 2000  # characters of a line of an error: files may hold names without end

app = typer.Typer(
    name="dl",
    cls=guide.Verbs,
    help="Train, evaluate, sample and attack everything in five deep-learning courses.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", autocompletion=arguments.complete, show_default=False)
]
RunWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN] [KEY=VALUE]...", autocompletion=arguments.complete, show_default=False),
]
ConfigDir = Annotated[
    Path | None,
    typer.Option("--config-dir", metavar="DIR", help="Your own configs: they join the packaged ones and win."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback(invoke_without_command=True)
def bare(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    """Print worked examples when no verb is given."""
    if version:
        from dlcli import __version__

        typer.echo(f"dl {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(guide.EXAMPLES)


@app.command(cls=guide.Verb)
def train(
    words: Words = None,
    multirun: Annotated[
        bool, typer.Option("-m", "--multirun", help="Sweep: a run for every combination of a,b,c values.")
    ] = False,
    config_dir: ConfigDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all keys, list the jobs, train nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Train a model: dl train model=vae data=mnist epochs=20."""
    from dlcli.verbs.start import start

    start(arguments.assignments(words), config_dir, multirun=multirun, dry_run=dry_run)


@app.command("eval", cls=guide.Verb)
def evaluate(words: RunWords = None, config_dir: ConfigDir = None, debug: Debug = False) -> None:
    """Evaluate a run on its test split: dl eval [RUN]."""
    run, config = arguments.run_and_config("eval", words, config_dir)
    from dlcli.verbs.evaluate import evaluate

    evaluate(run, config)


@app.command(cls=guide.Verb)
def sample(words: RunWords = None, config_dir: ConfigDir = None, debug: Debug = False) -> None:
    """Draw new examples from a generative run: dl sample [RUN] n=64."""
    run, config = arguments.run_and_config("sample", words, config_dir)
    from dlcli.verbs.sample import sample

    sample(run, config)


@app.command(cls=guide.Verb)
def attack(
    words: RunWords = None,
    multirun: Annotated[
        bool, typer.Option("-m", "--multirun", help="Sweep: an attack for every combination of a,b,c values.")
    ] = False,
    config_dir: ConfigDir = None,
    debug: Debug = False,
) -> None:
    """Attack a classifier of pictures: dl attack [RUN] attack=pgd."""
    run, config = arguments.run_and_config("attack", words, config_dir, multirun)
    if multirun:
        from dlcli.verbs.onslaught import onslaught

        onslaught(run, arguments.assignments([word for word in words or [] if "=" in word]))
        return
    from dlcli.verbs.attack import attack

    attack(run, config)


@app.command(cls=guide.Verb)
def verify(words: RunWords = None, config_dir: ConfigDir = None, debug: Debug = False) -> None:
    """See that an interruption changes no bit: dl verify [RUN] steps=8."""
    run, config = arguments.run_and_config("verify", words, config_dir)
    from dlcli.verbs.verify import verify

    verify(run, config)


@app.command(cls=guide.Verb)
def export(words: RunWords = None, config_dir: ConfigDir = None, debug: Debug = False) -> None:
    """Write a net for other programs: dl export [RUN] format=onnx."""
    run, config = arguments.run_and_config("export", words, config_dir)
    from dlcli.verbs.export import export

    export(run, config)


@app.command("ls")
def list_things(
    what: Annotated[str, typer.Argument(help="models, data, optimizers, schedules, attacks, ... or runs")] = "models",
    pattern: Annotated[str, typer.Argument(help="only names like this: 'vae*'")] = "*",
    config_dir: ConfigDir = None,
    debug: Debug = False,
) -> None:
    """List what there is: dl ls models, dl ls data, dl ls runs."""
    from dlcli.verbs.ls import ls

    ls(what, pattern, config_dir)


@app.command()
def show(words: Words = None, config_dir: ConfigDir = None, debug: Debug = False) -> None:
    """Show each value, its origin, and the layers: dl show model=vae."""
    from dlcli.verbs.show import show

    show(arguments.assignments(words), config_dir)


@app.command()
def doctor(debug: Debug = False) -> None:
    """Check the installation, offline, in seconds."""
    from dlcli.verbs.doctor import doctor

    doctor()


def main() -> None:
    """Run the command line; errors end in their documented exit code, without a traceback unless `--debug` asks."""
    words, notes = arguments.forgive(sys.argv[1:])
    sys.argv[1:] = words
    for note in notes:
        print(note, file=sys.stderr)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving
    try:
        app()
    except DlError as error:
        fail(str(error), error.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `dl ls | head`: nobody reads any more
        sys.exit(0)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
            fail("out of memory: ask for less at once, such as a smaller batch or n", OutOfMemoryError.code)
        fail(f"{type(error).__name__}: {error}\na fault of dl itself; --debug shows where", 1)
    finally:
        atexit.register(let_go)  # the last to register is the first to be called


def let_go() -> None:
    """Let Ctrl-C end a process whose work is over: libraries that tidy up behind it would show a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def fail(message: str, code: int) -> None:
    """Print an error, and its traceback if asked for, and leave."""
    if "--debug" in sys.argv:
        traceback.print_exc()
    with suppress(OSError):  # of a terminal that is gone; the exit code still tells
        for i, line in enumerate(message.splitlines()):
            print(f"{'   ' if i else 'dl:'} {printable(line)[:LONGEST]}", file=sys.stderr, flush=True)
    sys.exit(code)
