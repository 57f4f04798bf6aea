"""The one training loop, on Lightning Fabric: for one student, and for many at once on stacked parameters."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.progress import Progress, progress_bar
from course_lib.training.checkpoint import Checkpoints, Keeper, Weights, identity
from course_lib.training.feed import Feed, Teacher, pool
from course_lib.training.objective import Objective
from course_lib.training.passes import Forward, StackedForward
from course_lib.training.recipe import Recipe, batch_order

# How often losses are looked at: looking waits for the device, so not at every step.
CHECK_EVERY = 50


class TrainingDiverged(CourseError):
    """A loss became NaN or infinite; the message names the first step, the term and the seed."""


@dataclass(frozen=True, eq=False)
class Run:
    """One trained student.

    Attributes:
        model: the network, in eval mode.
        history: every unweighted term and "total" by name, each (steps,).
        seconds: wall-clock time of the training.
        seed: of the initial weights, the order of batches and dropout.
    """

    model: nn.Module
    history: dict[str, np.ndarray]
    seconds: float
    seed: int


@dataclass(frozen=True, eq=False)
class Runs:
    """Many students, trained at once.

    Attributes:
        skeleton: a network of their architecture; its own weights mean nothing.
        parameters: by name, each (students, *shape).
        history: every unweighted term and "total" by name, each (steps, students).
        seconds: wall-clock time for all together.
        seeds: one per student.
    """

    skeleton: nn.Module
    parameters: dict[str, Tensor]
    history: dict[str, np.ndarray]
    seconds: float
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.seeds)

    def logits(self, inputs: Tensor, *, batch_size: int = 512) -> Tensor:
        """Logits of every student for the same inputs (N, *shape), as (students, N, C)."""
        device = next(iter(self.parameters.values())).device
        forward = torch.vmap(lambda p, x: functional_call(self.skeleton, p, (x,)), in_dims=(0, None))
        with torch.no_grad():
            return torch.cat(
                [forward(self.parameters, x.to(device)) for x in inputs.split(batch_size)], dim=1
            )

    def model(self, student: int) -> nn.Module:
        """A network of its own with the weights of one student."""
        model = copy.deepcopy(self.skeleton)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.parameters[name][student])
        return model.eval()


def fit(
    build_model: Callable[[], nn.Module],
    objective: Objective,
    examples: Examples,
    recipe: Recipe,
    *,
    seed: int = 0,
    teacher: Teacher | None = None,
    fabric: Fabric | None = None,
    progress: bool | Progress = True,
    checkpoints: Checkpoints | None = None,
) -> Run:
    """Train one student.

    Args:
        build_model: makes the network, e.g. ``small_mlp``; called under the seed.
        objective: what to train for.
        examples: labelled examples; training runs on their device unless ``fabric`` says otherwise.
        recipe: optimiser, steps, batch size.
        seed: of weights, batch order and dropout. On one machine the same seed gives bit-identical weights.
        teacher: the teacher's cache, or the teacher, where a term needs its logits.
        fabric: device and precision; one process.
        progress: show a bar where a person can see it; or a function that is told ``(done, total)`` steps from time to
            time, and stops the training by raising, e.g. ``course_lib.progress.Stopped``.
        checkpoints: keep the state in a folder, and go on from there; ``history`` and ``seconds`` are of the whole.

    Raises:
        CourseError: input that cannot be trained on, said before the first step; a checkpoint that is damaged or of
            another training, or that cannot be written.
        TrainingDiverged: a loss is NaN or infinite.
    """
    fabric = _one_process(fabric) if fabric else _fabric_for(examples)
    examples = examples.to(fabric.device)
    if different := [name for term in objective.terms for name in term.knobs()]:
        raise CourseError(f"{different[0]} differs between students (PerStudent): train them with fit_many")
    with _seeded(seed):
        network = _learning(build_model())
        feed = Feed(objective, examples, teacher)
        if feed.teachers > 1:
            raise CourseError(f"teacher must be one, got {feed.teachers}: train them with fit_many")
        model, optimizer = fabric.setup(network, recipe.make_optimizer(network.parameters()))
        # Second derivatives want float32: an objective that has them goes round the wrapper, which may cast.
        called = _float32(network) if objective.differentiated else model
        passes = Forward(called, network, objective.student_layers, objective.differentiated)
        feed.rehearse(passes, model, objective)
        model.train()
        epochs = batch_order(len(examples), recipe.batch_size, seed)
        order = chain.from_iterable(epoch.to(fabric.device).unbind(0) for epoch in epochs)
        keeper = None
        if checkpoints:
            weights = network.state_dict()
            made = identity(objective, examples, recipe, (seed,), weights, feed.of_teacher)
            keeper = Keeper(checkpoints, made, {"weights": Weights(weights), "optimizer": optimizer})
        with passes:
            history, seconds = _train(
                lambda rows: objective(passes(feed(rows))),
                order,
                optimizer,
                fabric,
                recipe,
                objective,
                (seed,),
                progress,
                keeper,
            )
    _check_weights(network.parameters(), seed)
    return Run(network.eval(), {name: values[:, 0] for name, values in history.items()}, seconds, seed)


def fit_many(
    build_model: Callable[[], nn.Module],
    objective: Objective,
    examples: Examples | Sequence[Examples],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    teacher: Teacher | Sequence[Teacher] | None = None,
    fabric: Fabric | None = None,
    progress: bool | Progress = True,
    checkpoints: Checkpoints | None = None,
) -> Runs:
    """Train one student per seed, all at once, with the result that ``fit`` gives each (but for rounding).

    The students' parameters are stacked and every step is taken for all of them by one batched operation
    (``torch.vmap``), which for small networks costs little more than a step of one.

    Args:
        examples: one set for all, or one per seed, of equal sizes and from one data set.
        seeds: one per student.
        teacher: one for all, or a list of one per student, each knowing all examples of all students.
        objective: its weights and settings may be ``PerStudent``.
        others: as in ``fit``.

    Raises:
        CourseError: as in ``fit``; and for a network with batch norm or dropout, whose students would not be
            what they are when trained alone.
        TrainingDiverged: a loss of a student is NaN or infinite.
    """
    seeds = tuple(seeds)
    if not seeds:
        raise CourseError("seeds must hold one integer per student, got none")
    together, own = pool(examples, len(seeds))
    fabric = _one_process(fabric) if fabric else _fabric_for(together)
    together, own = together.to(fabric.device), own.to(fabric.device)
    networks = []
    for seed in seeds:
        with _seeded(seed):
            networks.append(_learning(build_model()))
    _refuse_coupled(networks[0])
    skeleton = networks[0].to(fabric.device)
    if objective.differentiated:
        _float32(skeleton)
    parameters = {
        name: value.to(fabric.device).detach() for name, value in stack_module_state(networks)[0].items()
    }
    learned = [name for name, parameter in skeleton.named_parameters() if parameter.requires_grad]
    parameters = {name: value.requires_grad_(name in learned) for name, value in parameters.items()}
    feed = Feed(objective, together, teacher)
    layers, differentiated = objective.student_layers, objective.differentiated
    if feed.teachers not in (1, len(seeds)):
        raise CourseError(f"teacher must be one, or one per student ({len(seeds)}), got {feed.teachers}")
    with _seeded(seeds[0]):
        rehearsed = feed.rehearse(
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

    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        with nullcontext() if differentiated else fabric.autocast():
            totals, record = stacked(parameters, knobs, feed(rows))
        # The gradient of the sum, with respect to one student's weights, is that of the student's own loss.
        return totals.sum(), record  # (), (terms + 1, students)

    order = _stacked_order([batch_order(own.shape[1], recipe.batch_size, seed) for seed in seeds], own)
    with passes, _seeded(seeds[0]):  # the seed of random numbers in the losses
        keeper = None
        if checkpoints:
            made = identity(objective, together, recipe, seeds, parameters, feed.of_teacher)
            keeper = Keeper(checkpoints, made, {"weights": Weights(parameters), "optimizer": optimizer})
        history, seconds = _train(
            forward, order, optimizer, fabric, recipe, objective, seeds, progress, keeper
        )
    weights = {name: value.detach() for name, value in parameters.items()}
    for student, seed in enumerate(seeds):
        _check_weights((value[student] for value in weights.values()), seed)
    return Runs(skeleton.eval(), weights, history, seconds, seeds)


def _train(forward, order, optimizer, fabric, recipe, objective, seeds, progress, keeper):
    """Take ``recipe.steps`` optimiser steps; returns the history by term, each (steps, students), and the seconds."""
    names = (*objective.names, "total")
    record = torch.zeros(recipe.steps, len(names), len(seeds), device=fabric.device)
    schedule = recipe.make_schedule(optimizer)
    done, before = 0, 0.0
    if keeper:
        done, before, kept = keeper.restore(schedule=schedule)
        if kept is not None:
            record[:done] = kept.to(record)
    start = time.perf_counter()
    what = f"Training {len(seeds)} students" if len(seeds) > 1 else "Training"
    with progress_bar(what, recipe.steps, progress) as advance:
        advance(done)
        for step, rows in enumerate(islice(order, done, recipe.steps), start=done):
            total, values = forward(rows)
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(total)
            optimizer.step()
            if schedule:
                schedule.step()
            record[step] = values.view(len(names), -1)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == recipe.steps:
                _check_finite(record, step + 1, names, seeds)
                advance(min(step % CHECK_EVERY, step - done) + 1)
            if keeper and keeper.due(step + 1, recipe.steps):
                _check_finite(record, step + 1, names, seeds)
                keeper.save(step + 1, before + time.perf_counter() - start, record, schedule=schedule)
    seconds = before + time.perf_counter() - start
    values = record.cpu().numpy()
    return {name: values[:, i] for i, name in enumerate(names)}, seconds


def _check_finite(record: Tensor, done: int, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Stop if a loss of the last steps is not finite; the record tells exactly where it began."""
    start = max(0, done - CHECK_EVERY)
    bad = ~torch.isfinite(record[start:done])  # (steps, terms + 1, students)
    if not bad.any():
        return
    step, term, student = (int(value) for value in bad.nonzero()[0])
    raise TrainingDiverged(
        f"the loss term {names[term]!r} became {float(record[start + step, term, student])} at step {start + step} "
        f"(seed {seeds[student]}): lower lr or the term's weight, or look for bad values in the data"
    )


def _check_weights(weights: Iterable[Tensor], seed: int) -> None:
    """What the last step did shows in no loss any more."""
    if not all(torch.isfinite(value).all() for value in weights):
        raise TrainingDiverged(f"a weight became NaN or infinite in the last step (seed {seed}): lower lr")


def _stacked_order(orders: Sequence[Iterator], own: Tensor) -> Iterator[Tensor]:
    """Batches for all students, (students, B): each student's positions, turned into rows of the common set."""
    while True:
        positions = torch.stack([next(order) for order in orders]).to(own.device)  # (students, batches, B)
        rows = own.gather(1, positions.flatten(1)).view_as(positions)
        yield from rows.unbind(dim=1)


def _learning(network: nn.Module) -> nn.Module:
    if not isinstance(network, nn.Module) or not any(p.requires_grad for p in network.parameters()):
        raise CourseError(
            f"build_model must make a network with weights to learn, got {type(network).__name__}"
        )
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


def _float32(network: nn.Module) -> nn.Module:
    """A network whose logits may be differentiated twice, for every example by itself."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise CourseError(
                f"build_model makes a network with a {type(module).__name__} layer ({name!r}), which couples the "
                "examples of a batch, so that they have no gradient of their own: use GroupNorm instead"
            )
    half = {p.dtype for p in network.parameters()} & {torch.float16, torch.bfloat16}
    if half:
        raise CourseError(
            f"fabric must keep the weights in float32 for losses of gradients, got {half.pop()}: use precision "
            "'bf16-mixed'"
        )
    return network


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
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise CourseError(f"seed must be a whole number from 0 to 2⁶³ − 1, got {seed!r}")
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        yield
