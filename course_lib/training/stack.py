"""Many students that are trained at once on stacked parameters: what state they have and how they take a step."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.optim import Optimizer

from course_lib.errors import CourseError
from course_lib.training.average import Average
from course_lib.training.balance import BATCHES, balanced_weights
from course_lib.training.batches import BatchSource
from course_lib.training.checkpoint import Stateful, Weights
from course_lib.training.forward import Forward, StackedForward
from course_lib.training.objective import Objective
from course_lib.training.recipe import Recipe, batch_order
from course_lib.training.recorded import record
from course_lib.training.students import forked, learning, scaler, seeded, uncoupled
from course_lib.training.threads import suited_threads

# Recording takes as long as this many steps of the course's small students save; those of larger ones save little.
RECORD_FROM = 200
# Batches that are drawn at once where there are few in an epoch: one by one, drawing takes a good part of a small step.
BATCHES_AT_ONCE = 32


class ManyStudents:
    """Networks of one architecture with their parameters stacked, in one process.

    Args:
        networks: to be trained, one for each seed.
        objective: whose losses' parameters are stacked too.
        batches, recipe, seeds, fabric: of the training.
        own: which of the examples are each student's, (students, n).
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        objective: Objective,
        batches: BatchSource,
        recipe: Recipe,
        seeds: Sequence[int],
        fabric: Fabric,
        own: Tensor,
    ):
        self.objective, self.seeds, self.own = objective, tuple(seeds), own
        self._batches, self._recipe, self._fabric = batches, recipe, fabric
        self._layers, self._differentiated = objective.student_layers, objective.differentiated
        self._refuse()
        _refuse_coupled(networks[0], "build_model makes a network")
        self.network, self.weights = _stacked(networks, fabric.device)
        if self._differentiated:
            uncoupled(self.network.train())
        self.results, self._average = self.weights, None
        if recipe.average:
            self.results = {name: value.detach().clone() for name, value in self.weights.items()}
            self._average = Average(recipe.average, self.weights, self.results)
        self._of_losses = _stacked_losses(objective, len(seeds))
        forward = Forward(self.network, self.network, self._layers, self._differentiated)
        with seeded(seeds[0]):
            tried, self._macs = batches.dry_run(forward, self.network, objective, len(seeds))
        self._shapes = {name: value.shape[1:] for name, value in tried.activations.items()}
        self.network.train()
        knobs = objective.knobs(len(seeds))
        self._knobs = {name: value.to(fabric.device) for name, value in knobs.items()}
        learned = [value for value in self.weights.values() if value.requires_grad]
        made = recipe.make_optimizer(learned, objective.parameter_groups(self._of_losses), len(seeds))
        # Fabric's wrapper takes the class of what it wraps.
        self.optimizer = cast(Optimizer, fabric.setup_optimizers(made))
        found = [self._balance(student) for student in range(len(seeds))]
        self.balanced = {
            name: torch.tensor([each[name] for each in found], device=fabric.device) for name in found[0]
        }
        # Tensors, because a recorded step takes a number for a constant.
        self._changing = {
            name: torch.full((len(seeds),), value, device=fabric.device)
            for name, value in objective.weights_at(0.0).items()
        }
        self._passes = StackedForward(self.network, self._layers, self._differentiated, self._shapes)
        self._stacked = torch.vmap(
            lambda weights, settings, batch: objective(self._passes(weights, batch), settings),
            out_dims=(0, 1),
            randomness="different",
        )
        self._replay: Callable | None = None

    def _refuse(self) -> None:
        """Refuse what works for one student alone."""
        students, teachers = len(self.seeds), self._batches.teachers
        if teachers not in (1, students):
            raise CourseError(
                f"teacher must be one teacher, or one for each of the {students} students, got {teachers}"
            )
        if self._recipe.clip and scaler(self._fabric):
            raise CourseError(
                "clip must be None in precision 16-mixed, whose gradients are scaled: use bf16-mixed"
            )
        if self._recipe.accumulate > 1:
            raise CourseError(
                "accumulate must be 1 for students that are trained at once, who take a batch as a whole, got "
                f"{self._recipe.accumulate}: train fewer at once"
            )

    @property
    def parts(self) -> dict[str, Stateful | None]:
        """What has state, by name."""
        return {
            "weights": Weights(self.weights),
            "average": Weights(self.results) if self._average else None,
            "optimizer": self.optimizer,
            "scaler": scaler(self._fabric),
            "losses": Weights(self._of_losses) if self._of_losses else None,
            "balanced": Weights(self.balanced) if self.balanced else None,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it, steps are taken; the step is recorded first where that pays and works."""
        batch = min(self._recipe.batch_size, self.own.shape[1])
        threads = suited_threads(self._macs * batch * len(self.seeds), self._fabric.device)
        # The seed of random numbers in the losses.
        with self._passes, threads, seeded(self.seeds[0]):
            # A recording would leave out the scaling of the losses.
            if self._recipe.steps >= RECORD_FROM and not scaler(self._fabric):
                some = self._batches(self.own[:, :batch] * self._views)
                with forked():  # recording draws random numbers too
                    self._replay = record(self._step, self._state, some)
            yield

    def order(self, start: int, stop: int) -> Iterator[Tensor]:
        """Batches for all students, (students, B), from one step to another."""
        return self._batches.ahead(islice(self._order(), start, stop))

    def _order(self) -> Iterator[Tensor]:
        """Each student's draws, turned into draws from the common set."""
        size, views = self.own.shape[1], self._views
        together = max(1, BATCHES_AT_ONCE * self._recipe.batch_size // size)  # of short epochs
        orders = [
            batch_order(size, self._recipe.batch_size, seed, views, together=together) for seed in self.seeds
        ]
        while True:
            draws = torch.stack([next(order) for order in orders]).to(
                self.own.device
            )  # (students, batches, B)
            rows = self.own.gather(1, (draws // views).flatten(1)).view_as(draws)
            yield from (rows * views + draws % views).unbind(dim=1)

    def take(self, rows: Tensor, progress: float) -> Tensor:
        """Put the gradients of a batch in place and return the losses, (terms + 1, students).

        Args:
            rows: of the batch.
            progress: the share of the training's steps that are done.
        """
        batch = self._batches(rows)
        for name, value in self.objective.weights_at(progress).items():
            self._changing[name].fill_(value)
        if self._replay is None:
            totals, values = self._step(self._state, batch)
            self.optimizer.zero_grad(set_to_none=True)
            self._fabric.backward(totals.sum())
        else:
            values, gradients = self._replay(batch)
            state = self._state
            for name, gradient in gradients.items():
                state[name].grad = gradient
        if self._recipe.clip:
            self._clip(self._recipe.clip)
        return values

    def step(self, number: int) -> None:
        """Change the weights by the gradients that are in place, as step number ``number`` of the training."""
        self.optimizer.step()
        if self._average:
            self._average.after(number)

    def _clip(self, most: float) -> None:
        """As PyTorch does it for one network, for each student by itself."""
        learned = [each for group in self.optimizer.param_groups for each in group["params"]]
        learned = [each for each in learned if each.grad is not None]
        students = len(self.seeds)
        norms = torch.stack([each.grad.reshape(students, -1).norm(dim=1) for each in learned]).norm(dim=0)
        factors = (most / (norms + 1e-6)).clamp(max=1)  # (students,)
        for each in learned:
            # Not in place: a recorded step may give the same tensor again.
            each.grad = each.grad * factors.view(students, *(1,) * (each.ndim - 1))

    def loss_modules(self) -> dict[str, list[nn.Module]]:
        """Every student's modules of the losses, by the name of the term."""
        found = {}
        for name, module in self.objective.modules.items():
            found[name] = [copy.deepcopy(module).eval() for _ in self.seeds]
            for student, each in enumerate(found[name]):
                own = {key.removeprefix(f"{name}/"): value for key, value in self._of_losses.items()}
                with torch.no_grad():
                    for key, parameter in each.named_parameters():
                        parameter.copy_(own[key][student])
        return found

    @property
    def _views(self) -> int:
        return len(self._batches.views) if self._batches.views else 1

    @property
    def _state(self) -> dict[str, Tensor]:
        """All that a step depends on besides its batch."""
        weights = {f"weight/{name}": value for name, value in (self.balanced | self._changing).items()}
        return {**self.weights, **self._of_losses, **weights}

    def _step(self, state: Mapping[str, Tensor], batch: Mapping) -> tuple[Tensor, Tensor]:
        """The totals, (students,), and the losses, (terms + 1, students)."""
        weights = {name: state[name] for name in self.weights}
        settings = self._knobs | {name: state[name] for name in self._of_losses}
        names = (*self.balanced, *self._changing)
        settings |= {f"{name}.weight": state[f"weight/{name}"] for name in names}
        with nullcontext() if self._differentiated else self._fabric.autocast():
            return self._stacked(weights, settings, batch)

    def _balance(self, student: int) -> dict[str, float]:
        """On a copy, as for a student alone."""
        if not self.objective.balanced:
            return {}
        network = copy.deepcopy(self.network)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(self.weights[name][student])
        own = {key: value[student] for key, value in (self._knobs | self._of_losses).items()}
        with forked(), Forward(network, network, self._layers, self._differentiated) as forward:
            batches = (self._batches(rows) for rows in self.order(0, BATCHES))
            passes = (forward({key: value[student] for key, value in batch.items()}) for batch in batches)
            return balanced_weights(self.objective, passes, list(network.parameters()), own)


def check_student(build_model: Callable[[], nn.Module], objective: Objective, *, together: bool) -> None:
    """Refuse a network that ``fit``, or ``fit_many``, would refuse, before a teacher is trained.

    Args:
        build_model: as there.
        objective: of the student.
        together: whether many are to be trained at once.

    Raises:
        CourseError: as there.
    """
    with forked():
        network = learning(build_model).train()
    if together:
        _refuse_coupled(network, "build_model makes a network")
    if objective.differentiated:
        uncoupled(network)


def _stacked(networks: Sequence[nn.Module], device: torch.device) -> tuple[nn.Module, dict[str, Tensor]]:
    """The first network, and all networks' parameters by name, (students, *shape), on the device."""
    networks = [network.to(device) for network in networks]
    learned = {name for name, parameter in networks[0].named_parameters() if parameter.requires_grad}
    stacked = stack_module_state(networks)[0].items()
    return networks[0], {name: value.detach().requires_grad_(name in learned) for name, value in stacked}


def _stacked_losses(objective: Objective, students: int) -> dict[str, Tensor]:
    """A copy for each student of the parameters of the losses' modules, by the names that ``Term`` gives them."""
    with_module = [(term, term.module) for term in objective.terms if term.module is not None]
    if len(with_module) > len(objective.modules):
        raise CourseError(
            f"the terms {', '.join(term.name for term, _ in with_module)} share a module; train such students one at a "
            "time with fit"
        )
    stacked = {}
    for term, module in with_module:
        _refuse_coupled(module, f"term {term.name!r} has a loss")
        own = dict(module.named_parameters())
        for key, name in term.state_names().items():
            value = own[name].detach().expand(students, *own[name].shape).clone()
            stacked[key] = value.requires_grad_(own[name].requires_grad)
    return stacked


def _refuse_coupled(model: nn.Module, whose: str) -> None:
    """Batch norm updates buffers, dropout draws random numbers, shared weights would be stacked once and used twice."""
    if len(list(model.parameters())) < sum(1 for _ in model.named_parameters(remove_duplicate=False)):
        raise CourseError(f"{whose} whose layers share weights; train such students with fit")
    for name, module in model.named_modules():
        kind = type(module).__name__
        if any(True for _ in module.buffers(recurse=False)) or (
            getattr(module, "p", 0) and "Dropout" in kind
        ):
            raise CourseError(
                f"{whose} with a {kind} layer ({name!r}), which cannot be trained in a stack; train such students one "
                "at a time with fit"
            )
