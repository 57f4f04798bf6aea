"""Who is trained: one student, or many at once on stacked parameters; what state they have and how they take a step."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain, islice
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.optim import Optimizer

from course_lib.data.splits import check_seed
from course_lib.errors import CourseError
from course_lib.training.balance import BATCHES, balanced_weights
from course_lib.training.batches import BatchSource
from course_lib.training.checkpoint import Stateful, Weights
from course_lib.training.forward import Forward, StackedForward
from course_lib.training.objective import Objective
from course_lib.training.processes import average_gradients, seed_of_process, share
from course_lib.training.recipe import Recipe, batch_order
from course_lib.training.recorded import record
from course_lib.training.threads import suited_threads

# Recording takes as long as this many steps of the course's small students save; those of larger ones save little.
RECORD_FROM = 200


class OneStudent:
    """One network, through autograd, in one process or in many.

    Args:
        network: to be trained.
        objective: with modules of its own.
        batches, recipe, seed, fabric: of the training.
        compile: call the network through ``torch.compile`` where the objective allows it.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        batches: BatchSource,
        recipe: Recipe,
        seed: int,
        fabric: Fabric,
        compile: bool,
    ):
        self.network, self.objective, self.seeds, self.own = network, objective, (seed,), None
        self._batches, self._recipe, self._fabric = batches, recipe, fabric
        self._layers, self._differentiated = objective.student_layers, objective.differentiated
        _refuse_buffers_in_processes(objective, fabric)
        plain = not self._differentiated and not self._layers
        # torch.compile makes a module of a module.
        wrapped = cast(nn.Module, torch.compile(network, dynamic=False)) if compile and plain else network
        made = recipe.make_optimizer(network.parameters(), objective.parameter_groups())
        model, self.optimizer = fabric.setup(wrapped, made)
        # Second derivatives want float32 (on a GPU TF32, where PyTorch is so set): an objective that has them goes
        # round the wrapper, which may cast.
        called = _uncoupled(network.train()) if self._differentiated else model
        # On a copy: what a loss remembers begins with the first step.
        once = objective.own_copy(fabric.device)
        _, self._macs = batches.dry_run(self._forward(network), network, once)
        network.train()
        model.train()
        if fabric.global_rank:  # other dropout than the first process's
            torch.manual_seed(seed_of_process(seed, fabric.global_rank))
        self._passes = Forward(called, network, self._layers, self._differentiated)
        found = self._balance()
        self.balanced = {name: torch.tensor(value, device=fabric.device) for name, value in found.items()}

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """All of the network's state by name, changed in place from step to step."""
        return self.network.state_dict()

    @property
    def parts(self) -> dict[str, Stateful | None]:
        """What has state, by name."""
        losses = nn.ModuleList(self.objective.modules.values()) if self.objective.modules else None
        return {
            "weights": Weights(self.weights),
            "optimizer": self.optimizer,
            "scaler": scaler(self._fabric),
            "losses": losses,
            "balanced": Weights(self.balanced) if self.balanced else None,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it, steps are taken."""
        batch = min(self._recipe.batch_size, len(self._batches.examples)) // self._fabric.world_size
        with self._passes, suited_threads(self._macs * batch, self._fabric.device):
            yield

    def order(self) -> Iterator[Tensor]:
        """The draws, batch by batch."""
        batches = self._batches
        count = len(batches.views) if batches.views else 1
        epochs = batch_order(len(batches.examples), self._recipe.batch_size, self.seeds[0], count)
        return chain.from_iterable(epoch.to(self._fabric.device).unbind(0) for epoch in epochs)

    def take(self, draws: Tensor) -> Tensor:
        """Put the gradients of a batch in place and return the losses, (terms + 1,)."""
        batch = self._batches(share(draws, self._fabric))
        knobs = {f"{name}.weight": value for name, value in self.balanced.items()}
        total, values = self.objective(self._passes(batch), knobs)
        _backward(total, self.optimizer, self._fabric)
        if self._differentiated:
            average_gradients(self.network.parameters(), self._fabric)
        average_gradients(
            chain.from_iterable(m.parameters() for m in self.objective.modules.values()), self._fabric
        )
        if self._recipe.clip:
            self._fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self._recipe.clip, error_if_nonfinite=False
            )
        return values

    def _forward(self, network: nn.Module) -> Forward:
        return Forward(network, network, self._layers, self._differentiated)

    def _balance(self) -> dict[str, float]:
        """On copies, and with random numbers of its own: the training is what it would be with these numbers given."""
        if not self.objective.balanced:
            return {}
        network, own = copy.deepcopy(self.network).train(), self.objective.own_copy(self._fabric.device)
        draws = islice(self.order(), BATCHES)
        with forked(), self._forward(network) as forward:
            passes = (forward(self._batches(share(each, self._fabric))) for each in draws)
            found = balanced_weights(own, passes, list(network.parameters()), {})
        return self._fabric.broadcast(found) if self._fabric.world_size > 1 else found


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
        _refuse_coupled(networks[0], "build_model makes a network")
        self.network, self.weights = _stacked(networks, fabric.device)
        if self._differentiated:
            _uncoupled(self.network.train())
        if batches.teachers not in (1, len(seeds)):
            raise CourseError(
                f"teacher must be one, or one per student ({len(seeds)}), got {batches.teachers}"
            )
        if recipe.clip and scaler(fabric):
            raise CourseError(
                "clip must be None in precision 16-mixed, whose gradients are scaled: use bf16-mixed"
            )
        self._of_losses = _stacked_losses(objective, len(seeds))
        forward = Forward(self.network, self.network, self._layers, self._differentiated)
        with seeded(seeds[0]):
            tried, self._macs = batches.dry_run(forward, self.network, objective, len(seeds))
        self._shapes = {name: value.shape[1:] for name, value in tried.activations.items()}
        self.network.train()
        knobs = objective.knobs(len(seeds))
        self._knobs = {name: value.to(fabric.device) for name, value in knobs.items()}
        learned = [value for value in self.weights.values() if value.requires_grad]
        made = recipe.make_optimizer(learned, objective.parameter_groups(self._of_losses))
        # Fabric's wrapper takes the class of what it wraps.
        self.optimizer = cast(Optimizer, fabric.setup_optimizers(made))
        found = [self._balance(student) for student in range(len(seeds))]
        self.balanced = {
            name: torch.tensor([each[name] for each in found], device=fabric.device) for name in found[0]
        }
        self._passes = StackedForward(self.network, self._layers, self._differentiated, self._shapes)
        self._stacked = torch.vmap(
            lambda weights, settings, batch: objective(self._passes(weights, batch), settings),
            out_dims=(0, 1),
            randomness="different",
        )
        self._replay: Callable | None = None

    @property
    def parts(self) -> dict[str, Stateful | None]:
        """What has state, by name."""
        return {
            "weights": Weights(self.weights),
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

    def order(self) -> Iterator[Tensor]:
        """Batches for all students, (students, B): each one's draws, turned into draws from the common set."""
        size, views = self.own.shape[1], self._views
        orders = [batch_order(size, self._recipe.batch_size, seed, views) for seed in self.seeds]
        while True:
            draws = torch.stack([next(order) for order in orders]).to(
                self.own.device
            )  # (students, batches, B)
            rows = self.own.gather(1, (draws // views).flatten(1)).view_as(draws)
            yield from (rows * views + draws % views).unbind(dim=1)

    def take(self, rows: Tensor) -> Tensor:
        """Put the gradients of a batch in place and return the losses, (terms + 1, students)."""
        batch = self._batches(rows)
        if self._replay is None:
            totals, values = self._step(self._state, batch)
            _backward(totals.sum(), self.optimizer, self._fabric)
        else:
            values, gradients = self._replay(batch)
            state = self._state
            for name, gradient in gradients.items():
                state[name].grad = gradient
        if self._recipe.clip:
            self._clip(self._recipe.clip)
        return values

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
        balanced = {f"balanced/{name}": value for name, value in self.balanced.items()}
        return {**self.weights, **self._of_losses, **balanced}

    def _step(self, state: Mapping[str, Tensor], batch: Mapping) -> tuple[Tensor, Tensor]:
        """The totals, (students,), and the losses, (terms + 1, students)."""
        weights = {name: state[name] for name in self.weights}
        settings = self._knobs | {name: state[name] for name in self._of_losses}
        settings |= {f"{name}.weight": state[f"balanced/{name}"] for name in self.balanced}
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
            batches = (self._batches(rows) for rows in islice(self.order(), BATCHES))
            passes = (forward({key: value[student] for key, value in batch.items()}) for batch in batches)
            return balanced_weights(self.objective, passes, list(network.parameters()), own)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from the seed inside, and leave the global random state as it was."""
    check_seed(seed)
    with forked():
        torch.manual_seed(int(seed))
        yield


def forked() -> AbstractContextManager:
    """Leave the random state as it was, of all GPUs, because a seed sets all; of none where none is in use yet."""
    return torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ())


def learning(build_model: Callable[[], nn.Module]) -> nn.Module:
    """A network that can learn."""
    if isinstance(build_model, nn.Module):
        raise CourseError(
            f"build_model must be a function that makes a new network, got a {type(build_model).__name__}: every "
            "training begins with weights of its own; to go on with these, give lambda: copy.deepcopy(network)"
        )
    network = build_model()
    if not isinstance(network, nn.Module) or not any(p.requires_grad for p in network.parameters()):
        raise CourseError(
            f"build_model must make a network with weights to learn, got {type(network).__name__}"
        )
    if others := {p.dtype for p in network.parameters()} - {torch.float32}:
        raise CourseError(f"build_model must make a network with weights in float32, got {others.pop()}")
    return network


def scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """Of the losses, in a precision with little range."""
    return getattr(fabric.strategy.precision, "scaler", None)


def _backward(total: Tensor, optimizer: Optimizer, fabric: Fabric) -> None:
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(total)


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


def _refuse_buffers_in_processes(objective: Objective, fabric: Fabric) -> None:
    """A memory would hold other examples in each process."""
    if fabric.world_size == 1:
        return
    for name, module in objective.modules.items():
        if any(True for _ in module.buffers()):
            raise CourseError(
                f"term {name!r} has a loss with buffers, which {fabric.world_size} processes would fill differently: "
                "train with one process"
            )


def _uncoupled(network: nn.Module) -> nn.Module:
    """A network in train mode whose logits may be differentiated for every example by itself."""
    for name, module in network.named_modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm and (module.training or module.running_mean is None):
            raise CourseError(
                f"build_model makes a network with a {type(module).__name__} layer ({name!r}), which couples the "
                "examples of a batch, so that they have no gradient of their own: use GroupNorm instead, or keep it in "
                "eval mode in the network's train()"
            )
    return network
