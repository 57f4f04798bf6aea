"""Prints the outcome of a run: the table of notebooks, and what failed and where."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_lib.runner.report import Report

MEGABYTE = 1e6


def print_table(console: Console, report: Report) -> None:
    """One row per notebook that ran, and the total."""
    table = Table(show_footer=True)
    table.add_column("notebook", "total", no_wrap=True)
    table.add_column("result")
    table.add_column("seconds", f"{report.seconds:.1f}", justify="right")
    table.add_column("cells", str(sum(result.cells for result in report.results)), justify="right")
    table.add_column("claims that hold", justify="right")
    table.add_column("peak MB", f"{report.peak_memory / MEGABYTE:.0f}", justify="right")
    for result in report.results:
        table.add_row(
            result.plan.name,
            "[green]OK[/green]" if result.ok else "[red]FAIL[/red]",
            f"{result.seconds:.1f}",
            str(result.cells),
            f"{len(result.claims) - len(result.false_claims)} of {len(result.claims)}",
            f"{result.peak_memory / MEGABYTE:.0f}",
        )
    for name in report.not_run:
        table.add_row(name, "not run", "", "", "", "")
    console.print(table)
    at_once = f"{report.jobs} notebooks at once" if report.jobs > 1 else "One notebook at a time"
    summed = f"{report.notebook_seconds:.1f} s of notebooks in {report.seconds:.1f} s"
    console.print(f"{at_once}: {summed}, a ratio of {report.ratio:.2f}.", highlight=False)
    console.print(f"Report: {escape(str(report.path))}", highlight=False)


def print_failures(console: Console, report: Report) -> None:
    """For each notebook that is not ok: the cell and the error, or the claims that do not hold or are missing."""
    for result in report.results:
        if result.failure is not None:
            console.print(f"[red]{escape(f'{result.plan.name}, {result.failure}')}[/red]", highlight=False)
            console.print(f"Its outputs until then: {escape(str(result.output))}", highlight=False)
        elif not result.ok:
            told = [_false(claim) for claim in result.false_claims] + result.lost_claims
            for sentence in told:
                console.print(f"[red]{escape(f'{result.plan.name}, {sentence}')}[/red]", highlight=False)


def _false(claim: dict) -> str:
    evidence = f" ({claim['evidence']})" if claim.get("evidence") else ""
    return f"cell {claim['cell']}: the claim {claim['sentence']!r} does not hold{evidence}"
