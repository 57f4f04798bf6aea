"""From a plan to a report: data, teacher, its answers, students over seeds; each part goes on where it was stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger
from torch import Tensor, nn

from course_lib.data import Dataset, Examples, Views, load
from course_lib.distillation.plan import Plan
from course_lib.distillation.report import Report, Student
from course_lib.errors import CourseError
from course_lib.files import save_atomically
from course_lib.matrices import class_soft_matrix, cross_entropy_matrix
from course_lib.measure import accuracy, agreement, expected_calibration_error
from course_lib.models import alexnet
from course_lib.provenance import peak_memory, provenance
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    Recipe,
    Run,
    TeacherCache,
    Watch,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    shared_logits,
)


@dataclass(frozen=True)
class Engine:
    """How a plan is carried out, without influence on what it means.

    Attributes:
        fabric: device, precision and processes.
        folder: of the whole distillation.
        loggers: makes those of one training from its name.
        together: train the students of all seeds at once.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: go on from an older checkpoint where the newest is damaged.
        progress: show bars where a person can see them.
    """

    fabric: Fabric
    folder: Path
    loggers: Callable[[str], Sequence[Logger]] | None = None
    together: bool = False
    compile: bool = False
    fall_back: bool = False
    progress: bool = True


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
    """Carry out a plan; called again with the same folder it goes on where it was stopped.

    Args:
        plan: what is to be done.
        folder: for the teacher, the checkpoints of all trainings, and the report.
        teacher: file of a teacher, as an earlier distillation left it in its folder; trained if None.
        fabric: device, precision and processes; the CPU if None.
        loggers: makes the loggers of one training, of Lightning Fabric's kind, from its name, such as "student/seed-0".
        together: train the students of all seeds at once, which is much faster where they are small; the validation
            data are then not looked at in between.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: go on from an older checkpoint where the newest is damaged.
        progress: show bars where a person can see them.

    Returns:
        The report; test data are read for it once, after all trainings.

    Raises:
        CourseError: data, teacher or checkpoints that do not fit the plan.
        TrainingDiverged: a loss is NaN or infinite.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    engine = Engine(fabric, Path(folder), loggers, together, compile, fall_back, progress)
    dataset = load(plan.data)
    big, taught = _teacher(plan, dataset, teacher, engine)
    big = big.to(fabric.device)
    labelled = _labelled(plan, dataset)
    answering = _answering(plan, big, _all_of(labelled, dataset), plan.views(dataset), engine)
    students = _together if together else _one_by_one
    runs = {
        name: students(plan, objective, dataset, labelled, answering, name, engine)
        for name, objective in _methods(plan).items()
    }
    report = _report(plan, dataset, big, taught, runs, engine)
    if fabric.is_global_zero:
        report.write(engine.folder)
    fabric.barrier()
    return report


def load_teacher(path: str | Path, dataset: Dataset) -> nn.Module:
    """The teacher from a file that a distillation left behind, in eval mode.

    Raises:
        CourseError: the file is missing, is none, or holds a network for other images or classes.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"teacher must be a file, got {path}, which does not exist")
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        settings, weights = kept["settings"], kept["weights"]
    except Exception as error:
        raise CourseError(f"{path} is not a teacher of course distill ({type(error).__name__})") from error
    if (tuple(settings["image_shape"]), settings["num_classes"]) != (
        dataset.image_shape,
        dataset.num_classes,
    ):
        raise CourseError(
            f"{path} is a teacher for {tuple(settings['image_shape'])} and {settings['num_classes']} classes, not for "
            f"{dataset.title} with {dataset.image_shape} and {dataset.num_classes}"
        )
    model = alexnet(**settings)
    model.load_state_dict(weights)
    return model.eval()


def _methods(plan: Plan) -> dict[str, Objective]:
    """The trainings for one seed."""
    return {"student": plan.objective()} | ({"baseline": hard_labels()} if plan.baseline else {})


def _teacher(
    plan: Plan, dataset: Dataset, given: str | Path | None, engine: Engine
) -> tuple[nn.Module, Run | None]:
    """The teacher, and its training where it was not loaded."""
    if given is not None:
        return load_teacher(given, dataset), None
    settings = _settings(dataset, plan.teacher_width, plan.dropout)
    run = _trained(
        plan,
        settings,
        hard_labels(),
        dataset,
        dataset.train,
        seed=0,
        teacher=None,
        epochs=plan.teacher_epochs or plan.epochs,
        name="teacher",
        engine=engine,
    )
    if engine.fabric.is_global_zero:
        weights = {name: value.detach().cpu() for name, value in run.model.state_dict().items()}
        save_atomically(engine.folder / "teacher.pt", {"settings": settings, "weights": weights})
    return run.model, run


def _labelled(plan: Plan, dataset: Dataset) -> list[Examples]:
    """The labelled images of each student: all, or a draw of its own."""
    if plan.labels is None:
        return [dataset.train] * plan.seeds
    return [dataset.train.subset(plan.labels, seed=seed) for seed in range(plan.seeds)]


def _all_of(labelled: Sequence[Examples], dataset: Dataset) -> Examples:
    """All images that any student sees."""
    seen = torch.isin(dataset.train.index, torch.cat([each.index for each in labelled]))
    return dataset.train if bool(seen.all()) else dataset.train.take(seen.nonzero().flatten())


def _one_by_one(plan, objective, dataset, labelled, teacher, name, engine) -> list[Run]:
    settings = _settings(dataset, plan.student_width, 0.0)
    return [
        _trained(
            plan,
            settings,
            objective,
            dataset,
            labelled[seed],
            seed=seed,
            teacher=teacher,
            epochs=plan.epochs,
            name=f"{name}/seed-{seed}",
            engine=engine,
        )
        for seed in range(plan.seeds)
    ]


def _together(plan, objective, dataset, labelled, teacher, name, engine) -> list[Run]:
    settings = _settings(dataset, plan.student_width, 0.0)
    recipe = plan.recipe(len(labelled[0]))
    runs = fit_many(
        lambda: alexnet(**settings),
        objective,
        labelled,
        recipe,
        seeds=range(plan.seeds),
        teacher=teacher,
        views=plan.views(dataset),
        fabric=engine.fabric,
        progress=engine.progress,
        checkpoints=Checkpoints(
            engine.folder / name, every=_look_every(plan, recipe), fall_back=engine.fall_back
        ),
    )
    histories = [
        {term: values[:, place] for term, values in runs.history.items()} for place in range(len(runs))
    ]
    return [
        Run(runs.model(place), histories[place], runs.seconds / len(runs), seed)
        for place, seed in enumerate(runs.seeds)
    ]


def _look_every(plan: Plan, recipe: Recipe, epochs: int | None = None) -> int:
    """Steps between two checkpoints."""
    return recipe.steps // (epochs or plan.epochs) * plan.checkpoint_every


def _settings(dataset: Dataset, width: float, dropout: float) -> dict:
    return {
        "image_shape": list(dataset.image_shape),
        "num_classes": dataset.num_classes,
        "width": width,
        "dropout": dropout,
    }


def _trained(plan, settings, objective, dataset, train, seed, teacher, epochs, name, engine) -> Run:
    recipe = plan.recipe(len(train), epochs)
    every = _look_every(plan, recipe, epochs)
    validation = dataset.validation.to(engine.fabric.device)

    def build() -> nn.Module:
        # Convolutions are faster with the channels last in memory, on processors and on graphics cards.
        return alexnet(**settings).to(memory_format=torch.channels_last)

    def look(network: nn.Module) -> dict[str, float]:
        return {
            "accuracy": float(accuracy(shared_logits(network, validation, engine.fabric), validation.labels))
        }

    return fit(
        build,
        objective,
        train,
        recipe,
        seed=seed,
        teacher=teacher,
        views=plan.views(dataset),
        fabric=engine.fabric,
        compile=engine.compile,
        progress=engine.progress,
        checkpoints=Checkpoints(engine.folder / name, every=every, fall_back=engine.fall_back),
        watch=Watch(look, every=every),
        loggers=engine.loggers(name) if engine.loggers else (),
    )


def _answering(
    plan: Plan, big: nn.Module, train: Examples, views: Views | None, engine: Engine
) -> TeacherCache | LiveTeacher | None:
    """The teacher in the form that is less work for what the losses ask."""
    asked = {source.name for source in plan.objective().sources}
    if not any(name.startswith("teacher") or name == "soft_matrix" for name in asked):
        return None
    gradients = bool(asked & {"soft_matrix", "teacher_gradients"})
    matrix = _soft_matrix(plan, big, train) if gradients else None
    if views is None and plan.answers != "live":
        return _cached(big, train, None, _for_examples(matrix, big, train), engine)
    passes = plan.epochs * plan.seeds
    live = plan.answers == "live" or (plan.answers == "auto" and len(views) > passes)
    if gradients or live:
        return LiveTeacher(big, matrix)
    return _cached(big, train, views, None, engine)


def _cached(big, train, views, matrix, engine) -> TeacherCache:
    """Asked by the first process, read by the others from its file."""
    settings = {
        "views": views,
        "soft_matrix": matrix,
        "directory": engine.folder / "answers",
        "progress": engine.progress,
    }
    if engine.fabric.is_global_zero:
        cache_teacher(big, train, **settings)
    engine.fabric.barrier()
    return cache_teacher(big, train, **settings)


def _soft_matrix(plan: Plan, big: nn.Module, train: Examples) -> Tensor | Callable[[Tensor, Tensor], Tensor]:
    if plan.soft_matrix == "cross_entropy":
        return cross_entropy_matrix
    logits = shared_logits(big, train, None)
    return class_soft_matrix(logits, train.labels.cpu(), plan.temperature, logits.shape[1])


def _for_examples(matrix, big: nn.Module, train: Examples) -> Tensor | None:
    """S of every example, (N, C, m), where it depends on the example."""
    return matrix(shared_logits(big, train, None), train.labels.cpu()) if callable(matrix) else matrix


def _report(plan, dataset: Dataset, big: nn.Module, taught: Run | None, runs, engine: Engine) -> Report:
    """The test data are read here, once."""
    test, fabric = dataset.test, engine.fabric
    of_teacher = shared_logits(big, test, fabric)
    students = {}
    for name, several in runs.items():
        students[name] = [_examined(run, dataset, of_teacher, fabric) for run in several]
    teacher_run = Run(big, {}, 0.0, 0) if taught is None else taught
    return Report(
        plan=plan.values(),
        data=dataset.title,
        teacher=_examined(teacher_run, dataset, of_teacher, fabric),
        students=students,
        provenance=provenance() | _costs(fabric),
    )


def _examined(run: Run, dataset: Dataset, of_teacher: Tensor, fabric: Fabric) -> Student:
    test = shared_logits(run.model, dataset.test, fabric)
    validation = shared_logits(run.model, dataset.validation, fabric)
    labels = dataset.test.labels.cpu()
    return Student(
        seed=run.seed,
        parameters=sum(each.numel() for each in run.model.parameters()),
        test_accuracy=100 * float(accuracy(test, labels)),
        test_loss=float(torch.nn.functional.cross_entropy(test, labels)),
        test_agreement=100 * float(agreement(test, of_teacher)),
        test_calibration_error=100 * expected_calibration_error(test, labels),
        validation_accuracy=100 * float(accuracy(validation, dataset.validation.labels)),
        seconds=run.seconds,
        steps=len(next(iter(run.history.values()), ())),
        watched=[{**each, "accuracy": 100 * each["accuracy"]} for each in run.watched],
        losses={name: _thinned(values) for name, values in run.history.items()},
    )


def _thinned(values, points: int = 50) -> list[float]:
    """Means over at most so many equal stretches of the training, for a figure."""
    stretches = torch.as_tensor(values).tensor_split(min(points, len(values)))
    return [float(f"{float(each.mean()):.5g}") for each in stretches]


def _costs(fabric: Fabric) -> dict[str, str | int | None]:
    """What the distillation ran on, and the first process's memory; of a training that was gone on, its last part."""
    on_card = fabric.device.type == "cuda"
    found = {
        "device": torch.cuda.get_device_name(fabric.device) if on_card else fabric.device.type,
        "processes": fabric.world_size,
        "peak_memory_bytes": peak_memory(),
    }
    return found | ({"peak_device_memory_bytes": torch.cuda.max_memory_allocated()} if on_card else {})
