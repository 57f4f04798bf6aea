"""From a plan to a report: data, teacher, its answers, students over seeds; each part resumes where it was stopped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger
from torch import Tensor, nn

from course_lib.data import Dataset, Examples, load
from course_lib.distillation.answers import answering
from course_lib.distillation.networks import load_network, save_network, settings_of
from course_lib.distillation.plan import Plan
from course_lib.distillation.report import Report, Student
from course_lib.errors import CourseError
from course_lib.files import clear_unfinished
from course_lib.measure import accuracy, scores
from course_lib.models import alexnet
from course_lib.provenance import peak_memory, provenance
from course_lib.training import (
    Checkpoints,
    Objective,
    Recipe,
    Run,
    Watch,
    fit,
    fit_many,
    hard_labels,
    shared_logits,
)
from course_lib.training.batches import Teacher
from course_lib.training.processes import check_shares, on_rank_zero


@dataclass(frozen=True)
class Engine:
    """How a plan is carried out.

    Attributes:
        fabric: device, precision and processes.
        folder: of the whole distillation.
        loggers: makes those of one training from its name.
        together: train the students of all seeds at once.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: resume from an older checkpoint where the newest is damaged or of another plan.
        progress: show bars where a person can see them.
    """

    fabric: Fabric
    folder: Path
    loggers: Callable[[str], Sequence[Logger]] | None = None
    together: bool = False
    compile: bool = False
    fall_back: bool = False
    progress: bool = True

    def logs(self, name: str) -> Sequence[Logger]:
        """Those of one training.

        Raises:
            CourseError: they cannot be made.
        """
        try:
            return self.loggers(name) if self.loggers else ()
        except OSError as error:
            raise CourseError(f"cannot write the log of {name}: {error}") from error


def distill(
    plan: Plan,
    folder: str | Path,
    *,
    teacher: str | Path | None = None,
    fabric: Fabric | None = None,
    loggers: Callable[[str], Sequence[Logger]] | None = None,
    together: bool = False,
    compile: bool = False,
    fall_back: bool = False,
    progress: bool = True,
) -> Report:
    """Carry out a plan; called again with the same folder it resumes where it was stopped.

    The folder then holds the teacher as ``teacher.pt``, the students as ``student/seed-0.pt`` and so on, those that
    learned from hard labels as ``baseline/seed-0.pt`` (all for ``load_network``), ``report.json`` and
    ``report.html``, and what resuming needs: the checkpoints, and the teacher's ``answers``.

    Args:
        plan: what is to be done.
        folder: for all of this; one distillation at a time works in it.
        teacher: file of a network, as an earlier distillation left it in its folder; trained if None.
        fabric: device, precision and processes; the CPU if None.
        loggers: makes the loggers of one training, of Lightning Fabric's kind, from its name, such as "student/seed-0".
        together: train the students of all seeds at once, which is much faster where they are small; the validation
            data are then not looked at in between, and the logs are of their means.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: resume from an older checkpoint where the newest is damaged or of another plan.
        progress: show bars where a person can see them.

    Returns:
        The report; test data are read for it once, after all trainings.

    Raises:
        CourseError: data, teacher or checkpoints that do not fit the plan, a folder that cannot be written or is in
            use; what the plan alone tells is said before anything is trained.
        TrainingDiverged: a loss or a weight is NaN or infinite.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    engine = Engine(fabric, Path(folder), loggers, together, compile, fall_back, progress)
    if together and fabric.world_size > 1:
        raise CourseError(f"together must be False in several processes, got True in {fabric.world_size}")
    report = _carry_out(plan, teacher, engine)
    # From here, where no data and networks are at hand: what draws the page holds on to all that called it for a while.
    on_rank_zero(lambda: report.write(engine.folder), fabric)
    return report


def _carry_out(plan: Plan, teacher: str | Path | None, engine: Engine) -> Report:
    fabric = engine.fabric
    # The first process on each machine decodes the images, the others read what it kept.
    with fabric.rank_zero_first(local=True):
        dataset = load(plan.data, validation=plan.validation)
    views, labelled = plan.views(dataset), _labelled(plan, dataset)
    for examples in (dataset.train, labelled[0]):
        check_shares(min(plan.batch_size, len(examples)), fabric)
    given = None if teacher is None else load_network(teacher, dataset)
    with _alone_in(engine.folder, fabric):
        big, taught = _taught(plan, dataset, engine) if given is None else (given, None)
        big = big.to(fabric.device, memory_format=torch.channels_last)
        answers = answering(
            plan,
            big,
            _all_of(labelled, dataset),
            views,
            train=dataset.train,
            folder=engine.folder / "answers",
            fabric=fabric,
            progress=engine.progress,
        )
        students = _together if engine.together else _one_by_one
        runs = {
            name: students(plan, objective, dataset, labelled, answers, name, engine)
            for name, objective in _methods(plan).items()
        }
        return _report(plan, dataset, big, taught, teacher, runs, engine)


@contextmanager
def _alone_in(folder: Path, fabric: Fabric) -> Iterator[None]:
    """Two distillations in one folder would take each other's checkpoints for their own."""
    lock = FileLock(folder / ".lock", timeout=0)

    def enter() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise CourseError(
                f"another distillation is at work in {folder}: wait for it, or name another folder; if none is, delete "
                f"{folder / '.lock'}"
            ) from error
        except OSError as error:
            raise CourseError(f"cannot write to {folder}: {error.strerror or error}") from error
        for place in (folder, *(folder / name for name in ("answers", "student", "baseline"))):
            clear_unfinished(place)

    on_rank_zero(enter, fabric)
    try:
        yield
    finally:
        lock.release()


def _methods(plan: Plan) -> dict[str, Objective]:
    """The trainings for one seed."""
    return {"student": plan.objective()} | ({"baseline": hard_labels()} if plan.baseline else {})


def _taught(plan: Plan, dataset: Dataset, engine: Engine) -> tuple[nn.Module, Run]:
    """The teacher and its training."""
    settings = settings_of(dataset, plan.teacher_width, plan.dropout)
    recipe = plan.teacher_recipe(len(dataset.train))
    run = _trained(
        plan, settings, hard_labels(), dataset, dataset.train, recipe, plan.seed, None, "teacher", engine
    )
    return run.model, run


def _labelled(plan: Plan, dataset: Dataset) -> list[Examples]:
    """The labelled images of each student: all, or a draw of its own."""
    if plan.labels is None:
        return [dataset.train] * plan.seeds
    classes = dataset.num_classes
    if not classes <= plan.labels <= len(dataset.train):
        raise CourseError(
            f"labels must be from {classes}, one for each class, to all {len(dataset.train)} of {dataset.title}, got "
            f"{plan.labels}"
        )
    return [dataset.train.subset(plan.labels, seed=seed) for seed in plan.student_seeds]


def _all_of(labelled: Sequence[Examples], dataset: Dataset) -> Examples:
    """All images that any student sees."""
    seen = torch.isin(dataset.train.index, torch.cat([each.index for each in labelled]))
    return dataset.train if bool(seen.all()) else dataset.train.take(seen.nonzero().flatten())


def _one_by_one(plan, objective, dataset, labelled, teacher, name, engine) -> list[Run]:
    settings = settings_of(dataset, plan.student_width, 0.0)
    recipe = plan.recipe(len(labelled[0]))
    return [
        _trained(
            plan, settings, objective, dataset, train, recipe, seed, teacher, f"{name}/seed-{seed}", engine
        )
        for seed, train in zip(plan.student_seeds, labelled, strict=True)
    ]


def _together(plan, objective, dataset, labelled, teacher, name, engine) -> list[Run]:
    settings = settings_of(dataset, plan.student_width, 0.0)
    recipe = plan.recipe(len(labelled[0]))
    runs = fit_many(
        lambda: alexnet(**settings),
        objective,
        labelled,
        recipe,
        seeds=plan.student_seeds,
        teacher=teacher,
        views=plan.views(dataset),
        fabric=engine.fabric,
        progress=engine.progress,
        checkpoints=Checkpoints(
            engine.folder / name, _look_every(plan, labelled[0]), fall_back=engine.fall_back
        ),
        loggers=engine.logs(name),
    )
    found = []
    for place, seed in enumerate(runs.seeds):
        history = {term: values[:, place] for term, values in runs.history.items()}
        found.append(Run(runs.model(place), history, runs.seconds / len(runs), seed))
        save_network(engine.folder / f"{name}/seed-{seed}.pt", found[-1].model, settings)
    return found


def _look_every(plan: Plan, train: Examples) -> int:
    """Steps between two checkpoints."""
    return plan.steps_per_epoch(len(train)) * plan.checkpoint_every


def _trained(
    plan: Plan,
    settings: dict,
    objective: Objective,
    dataset: Dataset,
    train: Examples,
    recipe: Recipe,
    seed: int,
    teacher: Teacher | None,
    name: str,
    engine: Engine,
) -> Run:
    """One network, trained and written to its file."""
    every, fabric = _look_every(plan, train), engine.fabric
    validation = dataset.validation.to(fabric.device)

    def build() -> nn.Module:
        # Convolutions are faster with the channels last in memory, on processors and on GPUs.
        return alexnet(**settings).to(memory_format=torch.channels_last)

    def look(network: nn.Module) -> dict[str, float]:
        logits = shared_logits(network, validation, fabric)
        return {"accuracy": 100 * float(accuracy(logits, validation.labels))}

    run = fit(
        build,
        objective,
        train,
        recipe,
        seed=seed,
        teacher=teacher,
        views=plan.views(dataset),
        fabric=fabric,
        compile=engine.compile,
        progress=engine.progress,
        checkpoints=Checkpoints(engine.folder / name, every=every, fall_back=engine.fall_back),
        watch=Watch(look, every=every),
        loggers=engine.logs(name),
    )
    on_rank_zero(lambda: save_network(engine.folder / f"{name}.pt", run.model, settings), fabric)
    return run


def _report(
    plan: Plan,
    dataset: Dataset,
    big: nn.Module,
    taught: Run | None,
    given: str | Path | None,
    runs: dict[str, list[Run]],
    engine: Engine,
) -> Report:
    """The test data are read here, once."""
    of_teacher = shared_logits(big, dataset.test, engine.fabric)
    students = {
        name: [_examined(run, dataset, of_teacher, engine.fabric) for run in several]
        for name, several in runs.items()
    }
    return Report(
        plan=plan.values(),
        data=dataset.title,
        teacher=_examined(taught or Run(big, {}, 0.0, 0), dataset, of_teacher, engine.fabric),
        students=students,
        provenance=provenance() | _how(engine),
        teacher_file=None if given is None else str(given),
    )


def _examined(run: Run, dataset: Dataset, of_teacher: Tensor, fabric: Fabric) -> Student:
    test = scores(shared_logits(run.model, dataset.test, fabric), dataset.test.labels, of_teacher)
    validation = shared_logits(run.model, dataset.validation, fabric)
    return Student(
        seed=run.seed,
        parameters=sum(each.numel() for each in run.model.parameters()),
        test_accuracy=100 * test.accuracy,
        test_loss=test.loss,
        test_agreement=100 * test.agreement,
        test_calibration_error=100 * test.calibration_error,
        validation_accuracy=100 * float(accuracy(validation, dataset.validation.labels)),
        seconds=run.seconds,
        steps=len(next(iter(run.history.values()), ())),
        watched=run.watched,
        losses={name: _thinned(values) for name, values in run.history.items()},
    )


def _thinned(values, points: int = 50) -> list[float]:
    """Means over at most ``stretches`` equal stretches of the training, for a figure."""
    stretches = torch.as_tensor(values).tensor_split(min(points, len(values)))
    return [float(f"{float(each.mean()):.5g}") for each in stretches]


def _how(engine: Engine) -> dict[str, str | int | bool | None]:
    """What the distillation ran on and how, and the first process's memory; of one that was resumed, the last part."""
    device = engine.fabric.device
    on_gpu = device.type == "cuda"
    found = {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "processes": engine.fabric.world_size,
        "precision": engine.fabric.strategy.precision.precision,
        "compiled": engine.compile and not engine.together,  # where no loss forbids it
        "together": engine.together,
        "peak_memory_bytes": peak_memory(),
    }
    return found | ({"peak_device_memory_bytes": torch.cuda.max_memory_allocated(device)} if on_gpu else {})
