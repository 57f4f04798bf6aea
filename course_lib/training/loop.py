"""The one training loop, on Lightning Fabric: for one student, and for many at once on stacked parameters."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.optim import Optimizer

from course_lib.data import Examples, Views
from course_lib.data.splits import check_seed
from course_lib.errors import CourseError
from course_lib.progress import Progress
from course_lib.training.checkpoint import Checkpoints, Keeper, Weights, identity
from course_lib.training.feed import Feed, Teacher, pool
from course_lib.training.logs import Logs
from course_lib.training.objective import Objective
from course_lib.training.passes import Forward, StackedForward
from course_lib.training.processes import average_gradients, check_shares, seed_of_process, share
from course_lib.training.recipe import Recipe, batch_order
from course_lib.training.recorded import record
from course_lib.training.runs import Run, Runs
from course_lib.training.snapshots import Snapshots
from course_lib.training.steps import Steps
from course_lib.training.threads import suited_threads
from course_lib.training.watch import Watch, Watcher

# Recording takes as long as this many steps of the course's small students save; those of larger ones save little.
RECORD_FROM = 200
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of Fabric; all keep the weights in float32


def fit(
    build_model: Callable[[], nn.Module],
    objective: Objective,
    examples: Examples,
    recipe: Recipe,
    *,
    seed: int = 0,
    teacher: Teacher | None = None,
    views: Views | None = None,
    fabric: Fabric | None = None,
    compile: bool = False,
    progress: bool | Progress = True,
    checkpoints: Checkpoints | None = None,
    watch: Watch | None = None,
    loggers: Sequence[Logger] | None = None,
    keep: Iterable[int] = (),
) -> Run:
    """Train one student.

    Args:
        build_model: makes the network, e.g. ``small_mlp``; called under the seed.
        objective: what to train for.
        examples: labelled examples; training runs on their device unless ``fabric`` says otherwise.
        recipe: optimiser, steps, batch size.
        seed: of weights, batch order and dropout. On one machine's CPU the same seed gives bit-identical weights.
            Small steps use one thread, others as many as ``torch.set_num_threads`` says.
        teacher: the teacher's cache, the teacher, or a ``LiveTeacher``, where a term needs its answers.
        views: show another of these views of an example each time (augmentation).
        fabric: device, precision, loggers and processes; each process takes its part of every batch, so that the
            batch size stays what the recipe says. Every process calls ``fit``.
        compile: compile the network with ``torch.compile``; not for losses that differentiate the logits or read
            activations, which are run as they are. The first step then takes long.
        progress: show a bar where a person can see it; or a function that is told ``(done, total)`` steps from time to
            time, and stops the training by raising, e.g. ``course_lib.progress.Stopped``.
        checkpoints: keep the state in a folder, and go on from there; ``history`` and ``seconds`` are of the whole.
        watch: look at the student now and then.
        loggers: of Lightning Fabric's kind, told of every loss term and of what is watched, by name; the fabric's own
            if None.
        keep: numbers of steps after which the student is kept as well (``Run.at``): one long training then stands
            for all shorter ones. The learning rate must be constant.

    Raises:
        CourseError: input that cannot be trained on, said before the first step; a checkpoint that is damaged or of
            another training, or that cannot be written.
        TrainingDiverged: a loss or a weight is NaN or infinite.
    """
    fabric = _with_float32_weights(fabric) if fabric else _fabric_for(examples)
    examples = examples.to(fabric.device)
    if different := [name for term in objective.terms for name in term.knobs()]:
        raise CourseError(f"{different[0]} differs between students (PerStudent): train them with fit_many")
    check_shares(min(recipe.batch_size, len(examples)), fabric)
    with _seeded(seed):
        network = _learning(build_model())
        feed = Feed(objective, examples, teacher, views)
        if feed.teachers > 1:
            raise CourseError(f"teacher must be one, got {feed.teachers}: train them with fit_many")
        plain = not objective.differentiated and not objective.student_layers
        wrapped = torch.compile(network, dynamic=False) if compile and plain else network
        model, optimizer = fabric.setup(wrapped, recipe.make_optimizer(network.parameters()))
        # Second derivatives want float32 (on a GPU TF32, where PyTorch is so set): an objective that has them goes
        # round the wrapper, which may cast.
        called = _uncoupled(network) if objective.differentiated else model
        layers, differentiated = objective.student_layers, objective.differentiated
        _, macs = feed.rehearse(Forward(network, network, layers, differentiated), network, objective)
        network.train()
        model.train()
        if fabric.global_rank:  # other dropout than the first process's
            torch.manual_seed(seed_of_process(seed, fabric.global_rank))
        epochs = batch_order(len(examples), recipe.batch_size, seed, len(views) if views else 1)
        order = chain.from_iterable(epoch.to(fabric.device).unbind(0) for epoch in epochs)
        logs = Logs(fabric.loggers if loggers is None else loggers)
        watcher = Watcher(watch, network, logs) if watch else None
        weights = network.state_dict()
        snapshots, keeper = Snapshots(keep, recipe, weights), None
        if checkpoints:
            made = identity(objective, feed, recipe, (seed,), network, fabric)
            parts = {"weights": Weights(weights), "optimizer": optimizer, "scaler": _scaler(fabric)}
            keeper = Keeper(checkpoints, made, parts, fabric)
        passes, back = Forward(called, network, layers, differentiated), _backward(fabric, optimizer)

        def take(draws: Tensor) -> Tensor:
            values = back(*objective(passes(feed(share(draws, fabric)))))
            if differentiated:
                average_gradients(network.parameters(), fabric)
            return values

        names = (*objective.names, "total")
        steps = Steps(
            take, order, optimizer, fabric, recipe, names, (seed,), progress, logs, snapshots, keeper, watcher
        )
        batch = min(recipe.batch_size, len(examples)) // fabric.world_size
        with passes, suited_threads(macs * batch, fabric.device):
            history, seconds = steps.run()
    history = {name: values[:, 0] for name, values in history.items()}
    return Run(network.eval(), history, seconds, seed, watcher.seen if watcher else [], snapshots.taken)


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
    """Train one student per seed, all at once, with the result that ``fit`` gives each (but for rounding).

    The students' parameters are stacked and every step is taken for all of them by one batched operation
    (``torch.vmap``), which for small networks costs little more than a step of one.

    Args:
        examples: one set for all, or one per seed, of equal sizes and from one data set.
        seeds: one per student.
        teacher: one for all, or a list of one per student, each knowing all examples of all students.
        objective: its weights and settings may be ``PerStudent``. Its losses must be pure functions: in a long
            training the step is recorded once and replayed.
        fabric: device, precision and loggers; one process.
        loggers: as in ``fit``, told of the means over the students.
        keep: numbers of steps after which all students are kept as well (``Runs.at``, ``Runs.over``).
        others: as in ``fit``.

    Raises:
        CourseError: as in ``fit``; and for a network with batch norm or dropout, whose students would not be
            what they are when trained alone.
        TrainingDiverged: a loss or a weight of a student is NaN or infinite.
    """
    seeds = tuple(seeds)
    if not seeds:
        raise CourseError("seeds must hold one integer per student, got none")
    together, own = pool(examples, len(seeds))
    fabric = _with_float32_weights(_one_process(fabric)) if fabric else _fabric_for(together)
    together, own = together.to(fabric.device), own.to(fabric.device)
    networks = []
    for seed in seeds:
        with _seeded(seed):
            networks.append(_learning(build_model()))
    _refuse_coupled(networks[0])
    skeleton, parameters = _stacked(networks, fabric.device)
    if objective.differentiated:
        _uncoupled(skeleton)
    learned = [name for name, parameter in parameters.items() if parameter.requires_grad]
    feed = Feed(objective, together, teacher, views)
    layers, differentiated = objective.student_layers, objective.differentiated
    if feed.teachers not in (1, len(seeds)):
        raise CourseError(f"teacher must be one, or one per student ({len(seeds)}), got {feed.teachers}")
    with _seeded(seeds[0]):
        rehearsed, macs = feed.rehearse(
            Forward(skeleton, skeleton, layers, differentiated), skeleton, objective, len(seeds)
        )
    shapes = {name: value.shape[1:] for name, value in rehearsed.activations.items()}
    skeleton.train()
    passes = StackedForward(skeleton, layers, differentiated, shapes)
    knobs = {name: value.to(fabric.device) for name, value in objective.knobs(len(seeds)).items()}
    optimizer = fabric.setup_optimizers(recipe.make_optimizer(parameters[name] for name in learned))
    stacked = torch.vmap(
        lambda weights, settings, batch: objective(passes(weights, batch), settings),
        out_dims=(0, 1),
        randomness="different",
    )

    def step(weights: Mapping[str, Tensor], batch: Mapping) -> tuple[Tensor, Tensor]:
        with nullcontext() if differentiated else fabric.autocast():
            return stacked(weights, knobs, batch)  # (students,), (terms + 1, students)

    count = len(views) if views else 1
    orders = [batch_order(own.shape[1], recipe.batch_size, seed, count) for seed in seeds]
    batch = min(recipe.batch_size, own.shape[1])
    threads = suited_threads(macs * batch * len(seeds), fabric.device)
    with passes, threads, _seeded(seeds[0]):  # the seed of random numbers in the losses
        some = feed(own[:, :batch] * count)
        take = _stacked_step(step, parameters, feed, some, fabric, optimizer, recipe.steps)
        snapshots, keeper = Snapshots(keep, recipe, parameters), None
        if checkpoints:
            made = identity(objective, feed, recipe, seeds, skeleton, fabric, own)
            parts = {"weights": Weights(parameters), "optimizer": optimizer, "scaler": _scaler(fabric)}
            keeper = Keeper(checkpoints, made, parts, fabric)
        order = _stacked_order(orders, own, count)
        names = (*objective.names, "total")
        logs = Logs(fabric.loggers if loggers is None else loggers)
        history, seconds = Steps(
            take, order, optimizer, fabric, recipe, names, seeds, progress, logs, snapshots, keeper
        ).run()
    weights = {name: value.detach() for name, value in parameters.items()}
    return Runs(skeleton.eval(), weights, history, seconds, seeds, snapshots.taken)


def _stacked(networks: Sequence[nn.Module], device: torch.device) -> tuple[nn.Module, dict[str, Tensor]]:
    """The first network, and all networks' parameters by name, (students, *shape), on the device."""
    networks = [network.to(device) for network in networks]
    learned = {name for name, parameter in networks[0].named_parameters() if parameter.requires_grad}
    stacked = stack_module_state(networks)[0].items()
    return networks[0], {name: value.detach().requires_grad_(name in learned) for name, value in stacked}


def _backward(fabric: Fabric, optimizer: Optimizer) -> Callable[[Tensor, Tensor], Tensor]:
    """What follows a forward pass: puts the total's gradients in place and hands the record on."""

    def back(total: Tensor, values: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(total)
        return values

    return back


def _stacked_step(step, parameters, feed, some, fabric, optimizer, steps) -> Callable[[Tensor], Tensor]:
    """One step of all students from the draws of their batches; replayed from a recording where that pays and works."""
    # A recording would leave out the scaling of the losses.
    worthwhile = steps >= RECORD_FROM and not _scaler(fabric)
    with _forked():  # recording draws random numbers too
        replay = record(step, parameters, some) if worthwhile else None
    if replay is None:
        back = _backward(fabric, optimizer)

        def take(rows: Tensor) -> Tensor:
            totals, values = step(parameters, feed(rows))
            return back(totals.sum(), values)

    else:

        def take(rows: Tensor) -> Tensor:
            values, gradients = replay(feed(rows))
            for name, gradient in gradients.items():
                parameters[name].grad = gradient
            return values

    return take


def _stacked_order(orders: Sequence[Iterator], own: Tensor, views: int) -> Iterator[Tensor]:
    """Batches for all students, (students, B): each student's draws, turned into draws from the common set."""
    while True:
        draws = torch.stack([next(order) for order in orders]).to(own.device)  # (students, batches, B)
        rows = own.gather(1, (draws // views).flatten(1)).view_as(draws)
        yield from (rows * views + draws % views).unbind(dim=1)


def _learning(network: nn.Module) -> nn.Module:
    if not isinstance(network, nn.Module) or not any(p.requires_grad for p in network.parameters()):
        raise CourseError(
            f"build_model must make a network with weights to learn, got {type(network).__name__}"
        )
    if others := {p.dtype for p in network.parameters()} - {torch.float32}:
        raise CourseError(f"build_model must make a network with weights in float32, got {others.pop()}")
    return network


def _refuse_coupled(model: nn.Module) -> None:
    """Batch norm updates buffers, dropout draws random numbers, shared weights would be stacked once and used twice."""
    if len(list(model.parameters())) < sum(1 for _ in model.named_parameters(remove_duplicate=False)):
        raise CourseError(
            "build_model makes a network whose layers share weights; train such students with fit"
        )
    for name, module in model.named_modules():
        kind = type(module).__name__
        if any(True for _ in module.buffers(recurse=False)) or (
            getattr(module, "p", 0) and "Dropout" in kind
        ):
            raise CourseError(
                f"build_model makes a network with a {kind} layer ({name!r}), which cannot be trained in a stack; "
                "train such students one at a time with fit"
            )


def _uncoupled(network: nn.Module) -> nn.Module:
    """A network whose logits may be differentiated for every example by itself."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise CourseError(
                f"build_model makes a network with a {type(module).__name__} layer ({name!r}), which couples the "
                "examples of a batch, so that they have no gradient of their own: use GroupNorm instead"
            )
    return network


def _with_float32_weights(fabric: Fabric) -> Fabric:
    precision = fabric.strategy.precision.precision
    if precision not in PRECISIONS:
        raise CourseError(
            f"fabric must keep the weights in float32, with precision {', '.join(PRECISIONS)}, got {precision!r}"
        )
    return fabric


def _scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """Of the losses, in a precision with little range."""
    return getattr(fabric.strategy.precision, "scaler", None)


def _one_process(fabric: Fabric) -> Fabric:
    if fabric.world_size > 1:
        raise CourseError(f"fabric must have one process, got {fabric.world_size}")
    return fabric


def _fabric_for(examples: Examples) -> Fabric:
    device = examples.images.device
    devices = 1 if device.type == "cpu" else [device.index or 0]
    return Fabric(accelerator=device.type, devices=devices)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from the seed inside, and leave the global random state as it was."""
    check_seed(seed)
    with _forked():
        torch.manual_seed(int(seed))
        yield


def _forked() -> AbstractContextManager:
    """Leave the random state as it was, of all GPUs, because a seed sets all; of none where none is in use yet."""
    return torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ())
