"""The command line: `henderson tutorial | approaches | fit | datasets`.

Exit codes: 0, done; 1, bad input, with one sentence on standard error; 2, wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from henderson import __version__

if TYPE_CHECKING:
    import pandas as pd

OK, BAD_INPUT = 0, 1
DDF = ("satterthwaite", "kenward-roger", "between-within", "residual", "normal")
DATA_HELP = "a CSV or Parquet file, the name of a bundled data set, or - for CSV on standard input"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (wrong usage exits with 2)."""
    arguments = _parser().parse_args(argv)
    from henderson.errors import HendersonError

    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except HendersonError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader (`head`) has seen enough; nothing more can be written at exit either.
        sys.stdout = None
        return OK
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    return OK


def _fail(message: str) -> int:
    print(f"henderson: {message}", file=sys.stderr)
    return BAD_INPUT


# -- arguments -----------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="henderson",
        description="Linear mixed models: exact, fast and explained.",
        epilog="Exit codes: 0 done, 1 bad input (the reason is on standard error), 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"henderson {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _tutorial_arguments(commands)
    _approaches_arguments(commands)
    _fit_arguments(commands)
    about = "list the bundled data sets"
    command = commands.add_parser("datasets", help=about, description=about)
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command.set_defaults(run=_datasets)
    return parser


def _tutorial_arguments(commands: Any) -> None:
    about = "walk through seven approaches to clustered data"
    command = commands.add_parser("tutorial", help=about, description=about)
    command.add_argument(
        "--report", metavar="PATH", default="tutorial.html", help="HTML page to write (%(default)s)"
    )
    command.add_argument("--no-report", action="store_true", help="print only")
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command.set_defaults(run=_tutorial)


def _approaches_arguments(commands: Any) -> None:
    about = "analyse clustered data in seven ways, side by side"
    command = commands.add_parser("approaches", help=about, description=about)
    command.add_argument("data", help=DATA_HELP)
    command.add_argument("--outcome", required=True, metavar="COLUMN", help="numeric column")
    command.add_argument(
        "--predictor", required=True, metavar="COLUMN", help="numeric column, or two levels"
    )
    command.add_argument(
        "--group", required=True, metavar="COLUMN", help="which rows belong together"
    )
    _output_arguments(command)
    command.set_defaults(run=_approaches)


def _fit_arguments(commands: Any) -> None:
    about = "fit a linear (mixed) model"
    command = commands.add_parser("fit", help=about, description=about)
    command.add_argument("formula", help="such as 'score ~ edu + (1 | classroom)'")
    command.add_argument("data", help=DATA_HELP)
    command.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    command.add_argument(
        "--ddf",
        type=_ddf,
        default=DDF[0],
        metavar="METHOD",
        help=f"degrees of freedom of the tests: {', '.join(DDF)} (%(default)s)",
    )
    _output_arguments(command)
    command.set_defaults(run=_fit)


def _ddf(text: str) -> str:
    """A method's name in any of its spellings."""
    from henderson.errors import DesignError
    from henderson.inference.ddf import method_name

    try:
        return method_name(text)
    except DesignError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _output_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command.add_argument("--report", metavar="PATH", help="write an HTML page")


# -- commands ------------------------------------------------------------------------------------


def _tutorial(arguments: argparse.Namespace) -> None:
    from henderson.seven.export import approaches_dict
    from henderson.seven.tutorial import tutorial_approaches, tutorial_text

    result = tutorial_approaches()
    found = approaches_dict(result) if arguments.json else None
    report = None if arguments.no_report else arguments.report
    _show(result, found, report, text="" if found else tutorial_text(result))


def _approaches(arguments: argparse.Namespace) -> None:
    from henderson.seven import approaches
    from henderson.seven.export import approaches_dict

    data = read_data(arguments.data)
    result = approaches(data, arguments.outcome, arguments.predictor, arguments.group)
    _show(result, approaches_dict(result) if arguments.json else None, arguments.report)


def _fit(arguments: argparse.Namespace) -> None:
    from henderson.formula import parse
    from henderson.model import lm, lmm
    from henderson.seven.export import fit_dict

    verb = lmm if parse(arguments.formula).random else lm
    data = read_data(arguments.data)
    fit = verb(arguments.formula, data, method="ML" if arguments.ml else "REML")
    found = fit_dict(fit, arguments.ddf) if arguments.json else None
    _show(fit, found, arguments.report, text=fit.summary(arguments.ddf))


def _show(result: Any, found: dict[str, Any] | None, report: str | None, text: Any = None) -> None:
    """Text or JSON on standard output; where the report went, on standard error."""
    if found is None:
        print(result if text is None else text)
    else:
        _print_json(found)
    if report:
        print(f"Report: {result.report(report)}", file=sys.stderr)


def _print_json(found: Any) -> None:
    import json

    print(json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False))


def _datasets(arguments: argparse.Namespace) -> None:
    from textwrap import fill

    from henderson.data.bundled import datasets

    if arguments.json:
        _print_json(datasets().to_dict("records"))
        return
    for row in datasets().itertuples():
        about = f"{row.rows} rows. {row.description}"
        print(fill(about, 80, initial_indent=f"{row.name:<18}", subsequent_indent=" " * 18))


# -- data ----------------------------------------------------------------------------------------


def read_data(name: str) -> pd.DataFrame:
    """A bundled table, standard input (`-`), or a file.

    Raises
    ------
    DataError : none of these, or it cannot be read.
    """
    from henderson.data.bundled import dataset_names, load_dataset
    from henderson.data.tables import to_frame

    if name == "-":
        return _read_stdin()
    if name in dataset_names():
        return load_dataset(name)
    return to_frame(name)


def _read_stdin() -> pd.DataFrame:
    """CSV on standard input, read as a file would be."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from henderson.data.tables import to_frame
    from henderson.errors import DataError

    with TemporaryDirectory() as folder:
        file = Path(folder, "input.csv")
        file.write_bytes(sys.stdin.buffer.read())
        try:
            return to_frame(file)
        except DataError as error:
            raise DataError(str(error).replace(f"'{file}'", "Standard input")) from error
