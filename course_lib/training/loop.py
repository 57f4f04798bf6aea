"""The one training loop, on Lightning Fabric: for one student, and for many at once on stacked parameters."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from torch import nn

from course_lib.data import Examples, Views
from course_lib.data.examples import check_examples
from course_lib.errors import CourseError
from course_lib.progress import Progress
from course_lib.training.batches import BatchSource, Teacher
from course_lib.training.checkpoint import Checkpoints, CheckpointWriter
from course_lib.training.identity import identity
from course_lib.training.logs import Logs
from course_lib.training.objective import Objective
from course_lib.training.pooling import pool
from course_lib.training.processes import check_shares
from course_lib.training.recipe import Recipe
from course_lib.training.runs import Run, Runs
from course_lib.training.snapshots import Snapshots
from course_lib.training.stack import ManyStudents
from course_lib.training.steps import Steps
from course_lib.training.students import OneStudent, learning, seeded
from course_lib.training.threads import one_at_a_time
from course_lib.training.transform import ChangedBatches, Transform
from course_lib.training.watch import Watch, Watcher

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of Fabric; all keep the weights in float32


@one_at_a_time()
def fit(
    build_model: Callable[[], nn.Module],
    objective: Objective,
    examples: Examples,
    recipe: Recipe,
    *,
    seed: int = 0,
    teacher: Teacher | None = None,
    views: Views | None = None,
    transform: Transform | None = None,
    fabric: Fabric | None = None,
    compile: bool = False,
    progress: bool | Progress = True,
    checkpoints: Checkpoints | None = None,
    watch: Watch | None = None,
    loggers: Sequence[Logger] | None = None,
    keep: Iterable[int] = (),
) -> Run:
    """Train one student. Threads of one process take turns to train; to train in parallel, use processes.

    Args:
        build_model: makes the network, e.g. ``small_mlp``; called under the seed.
        objective: what to train for.
        examples: labelled examples; training runs on their device unless ``fabric`` says otherwise.
        recipe: optimiser, steps, batch size.
        seed: of weights, batch order and dropout. On one machine's CPU the same seed gives bit-identical weights.
            Small steps use one thread, others as many as ``torch.set_num_threads`` says.
        teacher: the teacher's cache, the teacher, or a ``LiveTeacher``, where a term needs its answers.
        views: show one of these views of an example, drawn each time it is used (augmentation).
        transform: a function from a batch's inputs (B, ...), normalised, and labels (B, ...) to both, called before
            the student and a ``LiveTeacher`` see them, such as ``MixUp`` and ``RandomResizedCrop`` of torchvision's
            ``transforms.v2``; labels may become shares of the classes. It draws random numbers with PyTorch.
        fabric: device, precision, loggers and processes; each process takes its part of every batch, so that the
            batch size stays what the recipe says. Every process calls ``fit``.
        compile: compile the network with ``torch.compile``; not for losses that differentiate the logits or read
            activations, which are run as they are. The first step then takes long.
        progress: show a bar where a person can see it; or a function that is called with ``(done, total)`` steps from
            time to time, and stops the training by raising, e.g. ``course_lib.progress.Stopped``.
        checkpoints: keep the state in a folder, and resume from there; ``history`` and ``seconds`` cover the whole.
        watch: look at the student now and then.
        loggers: loggers of Lightning Fabric, which receive every loss term and every watched number by name; the
            fabric's own if None.
        keep: numbers of steps after which the student is kept as well (``Run.at``): one long training then stands
            for all shorter ones. The learning rate must be constant.

    Raises:
        CourseError: input that cannot be trained on, before the first step; a checkpoint that is damaged or of
            another training, or that cannot be written.
        TrainingDiverged: a loss or a weight is NaN or infinite.

    Examples:
        >>> recipe = training.Recipe(steps=20)
        >>> run = training.fit(models.small_mlp, training.hard_labels(), digits.train, recipe, seed=0)
        >>> run.model(digits.test.inputs).shape
        torch.Size([397, 10])
    """
    check_examples(examples)
    fabric = _with_float32_weights(fabric) if fabric else _fabric_for(examples)
    examples = examples.to(fabric.device)
    if different := [name for term in objective.terms for name in term.knobs()]:
        raise CourseError(f"{different[0]} differs between students (PerStudent): train them with fit_many")
    check_shares(min(recipe.batch_size, len(examples)), fabric, recipe.accumulate)
    logs = Logs(fabric.loggers if loggers is None else loggers)
    with seeded(seed):
        network = learning(build_model)
        given = objective, examples, teacher, views
        batches = ChangedBatches(transform, *given) if transform else BatchSource(*given)
        if batches.teachers > 1:
            raise CourseError(f"teacher must be one, got {batches.teachers}: train them with fit_many")
        own = objective.own_copy(fabric.device)
        student = OneStudent(network, own, batches, recipe, seed, fabric, compile)
        watcher = Watcher(watch, student.shown, logs) if watch else None
        history, seconds, snapshots = _train(
            student, batches, recipe, fabric, checkpoints, logs, progress, keep, watcher
        )
    if watcher:
        watcher.put_back()
    return Run(
        student.shown.eval(),
        {name: values[:, 0] for name, values in history.items()},
        seconds,
        seed,
        watcher.seen if watcher else [],
        snapshots.taken,
        {name: module.eval() for name, module in own.modules.items()},
        {name: float(value) for name, value in student.balanced.items()},
        watcher.chosen if watcher else None,
    )


@one_at_a_time()
def fit_many(
    build_model: Callable[[], nn.Module],
    objective: Objective,
    examples: Examples | Sequence[Examples],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    teacher: Teacher | Sequence[Teacher] | None = None,
    views: Views | None = None,
    fabric: Fabric | None = None,
    progress: bool | Progress = True,
    checkpoints: Checkpoints | None = None,
    loggers: Sequence[Logger] | None = None,
    keep: Iterable[int] = (),
) -> Runs:
    """Train one student per seed, all at once, with the result that ``fit`` gives for each (up to rounding).

    The students' parameters are stacked and every step is taken for all of them by one batched operation
    (``torch.vmap``), which for small networks costs little more than a step of one.

    Args:
        examples: one set for all, or one per seed, of equal sizes and from one data set.
        seeds: one per student.
        teacher: one for all, or a list of one per student, each knowing all examples of all students.
        objective: its weights and settings may be ``PerStudent``. Its losses must be pure functions of their arguments
            and parameters: in a long training the step is recorded once and replayed. Each student learns its own copy
            of a loss's parameters; all copies start equal.
        fabric: device, precision and loggers; one process.
        loggers: as in ``fit``; they receive means over the students.
        keep: numbers of steps after which all students are kept as well (``Runs.at``, ``Runs.over``).
        others: as in ``fit``, whose other arguments are for one student alone.

    Raises:
        CourseError: as in ``fit``; and for a network with batch norm or dropout, whose students would not be
            what they are when trained alone.
        TrainingDiverged: a loss or a weight of a student is NaN or infinite.

    Examples:
        >>> recipe = training.Recipe(steps=20)
        >>> runs = training.fit_many(models.small_mlp, training.hard_labels(), digits.train, recipe, seeds=range(3))
        >>> runs.logits(digits.test.inputs).shape
        torch.Size([3, 397, 10])
    """
    seeds = tuple(seeds)
    if not seeds:
        raise CourseError("seeds must hold one integer per student, got none")
    together, own = pool(examples, len(seeds))
    fabric = _with_float32_weights(_one_process(fabric)) if fabric else _fabric_for(together)
    together, own = together.to(fabric.device), own.to(fabric.device)
    networks = []
    for seed in seeds:
        with seeded(seed):
            networks.append(learning(build_model))
    batches = BatchSource(objective, together, teacher, views)
    students = ManyStudents(networks, objective.own_copy(fabric.device), batches, recipe, seeds, fabric, own)
    logs = Logs(fabric.loggers if loggers is None else loggers)
    history, seconds, snapshots = _train(students, batches, recipe, fabric, checkpoints, logs, progress, keep)
    return Runs(
        students.network.eval(),
        {name: value.detach() for name, value in students.results.items()},
        history,
        seconds,
        seeds,
        snapshots.taken,
        students.loss_modules(),
        students.balanced,
    )


def _train(
    students: OneStudent | ManyStudents,
    batches: BatchSource,
    recipe: Recipe,
    fabric: Fabric,
    checkpoints: Checkpoints | None,
    logs: Logs,
    progress: bool | Progress,
    keep: Iterable[int],
    watcher: Watcher | None = None,
) -> tuple[dict[str, np.ndarray], float, Snapshots]:
    """Take all steps: the history by term, (steps, students) each, the seconds, and the students at smaller budgets."""
    if students.balanced:
        logs.tell({f"weight/{name}": float(value.mean()) for name, value in students.balanced.items()}, 0)
    objective, choice, writer = students.objective, watcher.choice if watcher else "none", None
    length = None if choice == "none" else "the step that is chosen"
    if objective.changing:
        length = f"the weight of term {objective.changing[0]!r}"
    snapshots = Snapshots(keep, recipe, students.results, length)
    if checkpoints:
        transform = batches.words() if isinstance(batches, ChangedBatches) else "none"
        made = identity(
            objective,
            batches,
            recipe,
            students.seeds,
            students.network,
            fabric,
            students.own,
            {"choice of the step": choice, "transform": transform},
            length,
        )
        writer = CheckpointWriter(checkpoints, made, students.parts, fabric)
    with students.running():
        steps = Steps(students, fabric, recipe, progress, logs, snapshots, writer, watcher)
        history, seconds = steps.run()
    return history, seconds, snapshots


def _with_float32_weights(fabric: Fabric) -> Fabric:
    precision = fabric.strategy.precision.precision
    if precision not in PRECISIONS:
        raise CourseError(
            f"fabric must keep the weights in float32, with precision {', '.join(PRECISIONS)}, got {precision!r}"
        )
    return fabric


def _one_process(fabric: Fabric) -> Fabric:
    if fabric.world_size > 1:
        raise CourseError(f"fabric must have one process, got {fabric.world_size}")
    return fabric


def _fabric_for(examples: Examples) -> Fabric:
    device = examples.device
    devices = 1 if device.type == "cpu" else [device.index or 0]
    return Fabric(accelerator=device.type, devices=devices)
