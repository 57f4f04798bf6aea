"""The `course` command: checks the set-up, runs the notebooks, manages the data and builds the website.

What needs Jupyter is imported inside the commands, so that the others work where only the library is installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from course_lib import __version__
from course_lib.cli.distill import distill
from course_lib.cli.lab import lab
from course_lib.cli.options import Deferred
from course_lib.cli.streams import make_safe
from course_lib.cli.tune import Profile, tune_app
from course_lib.errors import CourseError


class _UsageError(CourseError):
    """What was asked for does not exist or does not fit; nothing has been done."""


@contextmanager
def asked() -> Iterator[None]:
    """A CourseError raised inside is about what was asked for."""
    try:
        yield
    except CourseError as error:
        raise _UsageError(str(error)) from error


class _Group(TyperGroup):
    """Says a CourseError in one sentence, without traceback; exits with 2 where the request was wrong, else with 1."""

    def main(self, *words: Any, **options: Any) -> Any:
        make_safe()  # before the help is printed
        return super().main(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CourseError as error:
            if ctx.params.get("debug"):
                raise
            fail(str(error), 2 if isinstance(error, _UsageError) else 1)


app = typer.Typer(
    cls=_Group,
    help='The command of "Small from Big", a hands-on course in model distillation.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="List the data sets, fetch one, verify one.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.command("distill", cls=Deferred)(distill)
app.command("lab", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)
app.add_typer(tune_app, name="tune")


def fail(message: str, code: int) -> None:
    """Print ``message`` in red on standard error and leave."""
    console(stderr=True).print(f"[red]{escape(message)}[/red]", highlight=False)
    raise typer.Exit(code)


def console(stderr: bool = False) -> Console:
    """A console on the present standard output; long lines are left to the terminal, so that paths stay whole."""
    return Console(stderr=stderr, soft_wrap=True)


def _mark(ok: bool, required: bool) -> str:
    if ok:
        return "[green][OK][/green]  "
    return "[red][FAIL][/red]" if required else "[yellow][--][/yellow]  "


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"course {__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def check() -> None:
    """Check the environment: [OK] or [FAIL] per item, with how to fix it; [--] is missing but not required."""
    from course_lib.cli.environment import checks

    out, failed = console(), 0
    for item in checks():
        failed += item.required and not item.ok
        mark = _mark(item.ok, item.required)
        out.print(f"{mark} {escape(item.name)}: {escape(item.found)}", highlight=False)
        if not item.ok and item.fix:
            out.print(f"        {escape(item.fix)}", highlight=False)
    if failed:
        missing = "1 required item is" if failed == 1 else f"{failed} required items are"
        fail(f"{missing} missing; the lines above say how to fix that.", 1)
    out.print("Everything that the course requires is there.")


@app.command()
def run(
    notebooks: Annotated[
        list[str] | None, typer.Argument(help='By number ("02"), name or path; all where none is named.')
    ] = None,
    profile: Annotated[
        Profile,
        typer.Option(
            help="quick: seconds on a CPU; full: real size; smoke: only whether it runs; claims may be false."
        ),
    ] = Profile.quick,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="For example temperature=8."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Notebooks that run at once and share the cores; one per core if not given."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for notebooks/ and report.json; build/ of the course if not given."),
    ] = None,
    book: Annotated[bool, typer.Option("--book/--no-book", help="Then build the website from them.")] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="For authors: store the outputs in the notebooks themselves.")
    ] = False,
) -> None:
    """Run notebooks, the longest first, check their claims, and write the results and a report into build/."""
    from course_lib import runner

    runner.require_extras()
    with asked():
        root = runner.course_root()
        chosen = runner.select(root / "notebooks", notebooks or ())
        parameters = runner.parse_parameters(parameter or ())
        plans = [runner.plan(path, profile.value, parameters) for path in chosen]
        if book and notebooks:
            raise CourseError(
                "--book needs all notebooks: name none, or use the stored outputs with: course book."
            )
        if in_place and any(plan.changed for plan in plans):
            raise CourseError(
                "--in-place stores the outputs of the default parameters: leave out --profile and -p."
            )
    from course_lib.runner.course import leaving_on_sigterm
    from course_lib.runner.folder import check_writable, occupied

    if in_place:
        check_writable(root / "notebooks")
    build = output or root / "build"
    with leaving_on_sigterm(), occupied(build):
        if book and output is None:
            _remove_stale(build / "notebooks", {path.name for path in chosen})
        _execute(root, plans, build, jobs, book=book, in_place=in_place)


def _execute(root: Path, plans: Any, output: Path, jobs: int | None, *, book: bool, in_place: bool) -> None:
    from course_lib.cli.show import print_failures, print_table
    from course_lib.runner.course import run_course
    from course_lib.runner.progress import progress
    from course_lib.runner.report import killed

    out = console()
    if told := killed(output / "report.json"):
        out.print(escape(told), highlight=False)
    try:
        report = run_course(plans, output, progress(out, len(plans)), jobs=jobs)
    except (KeyboardInterrupt, SystemExit):
        out.print(escape(f"Interrupted. {output / 'report.json'} lists what had run."), highlight=False)
        raise
    print_table(out, report)
    if in_place:
        _store(root, report)
    if not report.ok:
        print_failures(console(stderr=True), report)
        raise typer.Exit(1)
    if book:
        _build_book(output / "notebooks", root)


def _remove_stale(folder: Path, names: set[str]) -> None:
    """The website shows every notebook in ``folder``: forget those that the course no longer has."""
    from course_lib import runner

    for path in runner.list_notebooks(folder):
        if path.name not in names:
            path.unlink()


def _store(root: Path, report: Any) -> None:
    from course_lib.runner.clean import store

    for result in report.results:
        if result.ok:
            store(result.output, result.plan.path, root / "book" / "cover.png")


def _build_book(notebooks: Path, root: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("jupyter_book") is None:
        raise CourseError(
            "Building the website needs jupyter-book: "
            "install the extra [book], in the course's folder with: pip install -e '.[book]'."
        )
    from course_lib import site

    out = console()
    with out.status("Building the website ..."):
        index = site.build(notebooks, root / "book")
    out.print(f"The website is ready; open {Path(index).resolve().as_uri()}", highlight=False)


@app.command()
def book() -> None:
    """Build the website from the outputs stored in the notebooks, into book/_build/html/."""
    from course_lib import runner

    root = runner.course_root()
    _build_book(root / "notebooks", root)


@data_app.command("list")
def data_list() -> None:
    """List the data sets, and where each one is."""
    from course_lib import data

    out = console()
    for record in data.available():
        out.print(
            f"{_mark(record.ready, required=False)} {record.name}: {escape(record.where)}", highlight=False
        )
        if not record.ready:
            out.print(f"        {escape(record.fix)}", highlight=False)


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="As listed by: course data list.")]) -> None:
    """Get a data set, so that it is there when a notebook asks for it."""
    from course_lib import data

    _known_data(name)
    console().print(escape(str(data.fetch(name))), highlight=False)


@data_app.command("verify")
def data_verify(name: Annotated[str, typer.Argument(help="As listed by: course data list.")]) -> None:
    """Check that a data set is complete and unchanged."""
    from course_lib import data

    _known_data(name)
    console().print(escape(str(data.verify(name))), highlight=False)


def _known_data(name: str) -> None:
    from course_lib import data

    names = [record.name for record in data.available()]
    if name not in names:
        raise _UsageError(f"No data set is called {name!r}; there are {', '.join(names)}.")
