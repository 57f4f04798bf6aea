"""``course tune``: temperature, λ and method from a terminal, by grid into a file, by search in a database."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

tune_app = typer.Typer(
    help="Temperature, λ and method: try many settings, choose by validation.", no_args_is_help=True
)


class Profile(StrEnum):
    quick = "quick"
    full = "full"
    smoke = "smoke"


# Steps of a student, and seeds of a setting.
SIZES = {Profile.quick: (600, 10), Profile.full: (2000, 50), Profile.smoke: (5, 2)}
EXAM_SEEDS = 20


@tune_app.command("grid")
def grid(
    out: Annotated[Path, typer.Option(help="The file of results to write, JSON.")],
    data: Annotated[str, typer.Option(help="Data set, as listed by: course data list.")] = "digits",
    labels: Annotated[int, typer.Option(min=1, help="Labelled images of each student.")] = 50,
    profile: Annotated[
        Profile, typer.Option(help="quick: a minute on two cores; full: longer; smoke: only whether it runs.")
    ] = Profile.quick,
) -> None:
    """Train students for every temperature and λ, choose by validation, read the test images once.

    If it was stopped, the same command resumes it, from what it keeps beside the file of results.
    """
    from course_lib.cli import console, fail
    from course_lib.training import Recipe
    from course_lib.training.termination import EXIT_CODE, Terminated, ending_in_order
    from course_lib.tuning import GridRecord, examine, prepare, train_grid
    from course_lib.tuning.unfinished import unfinished

    steps, seeds = SIZES[profile]
    try:
        with ending_in_order(), unfinished(out) as folder:
            task = prepare(data, labels, recipe=Recipe(steps=steps))
            # The seeds from 0 are kept for the exam.
            found = train_grid(task, seeds=range(1000, 1000 + seeds), folder=folder / "grid")
            exam = examine(task, found.best, range(EXAM_SEEDS), folder=folder)
            about = {"data": data, "labels": labels, **about_this_run()}
            about |= {"profile": profile.value, "steps": steps}
            GridRecord(found, exam, about).write(out)
    except Terminated as error:
        fail(str(error), EXIT_CODE)
    console().print(
        f"best on validation: {found.best}, {found.means.max():.1f} %; on test images {exam.best.mean():.1f} %, "
        f"hard labels {exam.hard.mean():.1f} %\nwritten to {out}",
        highlight=False,
    )


@tune_app.command("search")
def search(
    trials: Annotated[int, typer.Option(min=1, help="Settings that the study will have in the end.")] = 40,
    storage: Annotated[
        str,
        typer.Option(
            help="A file for SQLite, or a database's URL; processes with the same one share the work."
        ),
    ] = "build/tuning.db",
    name: Annotated[str, typer.Option(help="Of the study; by default, what is searched for.")] = "",
    data: Annotated[str, typer.Option(help="Data set, as listed by: course data list.")] = "digits",
    labels: Annotated[int, typer.Option(min=1, help="Labelled images of each student.")] = 50,
    profile: Annotated[Profile, typer.Option(help="As for the grid.")] = Profile.quick,
) -> None:
    """Search over method, temperature and λ; start it several times to share the work, or again to go on."""
    from course_lib.cli import console
    from course_lib.training import Recipe
    from course_lib.tuning import (
        best_setting,
        examine,
        open_study,
        prepare,
        run_search,
        students_trained,
        trials_done,
    )

    steps, seeds = SIZES[profile]
    name = name or f"{data}, {labels} labels, {profile.value}"
    open_study(storage, name)  # an error in it shows before the teacher is trained
    task = prepare(data, labels, recipe=Recipe(steps=steps))
    study = run_search(
        task.validate,
        trials=trials,
        seeds=range(1000, 1000 + seeds),
        chunk=(seeds + 1) // 2,
        storage=storage,
        name=name,
    )
    best = best_setting(study)
    exam = examine(task, best, range(EXAM_SEEDS))
    console().print(
        f"{trials_done(study)} trials, {students_trained(study)} students; best on validation: {best}, "
        f"{study.best_value:.1f} %; on test images {exam.best.mean():.1f} %, hard labels {exam.hard.mean():.1f} %\n"
        f"kept in {storage}",
        highlight=False,
    )


def about_this_run() -> dict[str, Any]:
    """What a file of results says about how it was made."""
    from course_lib.provenance import provenance

    found = provenance()
    machine = f"{found['machine']['processor']}, {found['machine']['cores']} cores"
    own = {"date": found["date"][:10], "command": command(), "machine": machine}
    return own | {"versions": found["versions"], "commit": found["commit"] or "unknown"}


def command() -> str:
    """The command line, as written into a file of results."""
    return " ".join(["course", *sys.argv[1:]])
