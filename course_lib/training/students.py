"""The student that is trained alone: what state it has and how it takes a step."""

import copy
from collections.abc import Callable, ItemsView, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_lib.data.splits import check_seed
from course_lib.errors import CourseError
from course_lib.training.average import Average
from course_lib.training.balance import BATCHES, balanced_weights
from course_lib.training.batches import BatchSource
from course_lib.training.checkpoint import Stateful, Weights
from course_lib.training.forward import Forward
from course_lib.training.objective import Objective
from course_lib.training.processes import average_gradients, seed_of_process, share
from course_lib.training.recipe import Recipe, batch_order
from course_lib.training.threads import suited_threads


class State(Mapping[str, Tensor]):
    """All of a network's state by name, as it is when it is read: a module may make a buffer anew at every step."""

    def __init__(self, network: nn.Module):
        self._network = network

    def __getitem__(self, name: str) -> Tensor:
        return self._network.state_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._network.state_dict())

    def __len__(self) -> int:
        return len(self._network.state_dict())

    def items(self) -> ItemsView[str, Tensor]:
        """All at once."""
        return self._network.state_dict().items()


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
        self._model, self.optimizer = fabric.setup(wrapped, made)
        # Second derivatives want float32 (on a GPU TF32, where PyTorch is so set): an objective that has them goes
        # round the wrapper, which may cast.
        called = uncoupled(network.train()) if self._differentiated else self._model
        self.shown = copy.deepcopy(network) if recipe.average else network
        self._average = Average(recipe.average, self.weights, self.results) if recipe.average else None
        # On a copy: what a loss remembers begins with the first step.
        once = objective.own_copy(fabric.device)
        _, self._macs = batches.dry_run(self._forward(network), network, once)
        network.train()
        self._model.train()
        if fabric.global_rank:  # other dropout than the first process's
            torch.manual_seed(seed_of_process(seed, fabric.global_rank))
        self._passes = Forward(called, network, self._layers, self._differentiated)
        found = self._balance()
        self.balanced = {name: torch.tensor(value, device=fabric.device) for name, value in found.items()}

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """All of the network's state by name, as it is at each step."""
        return State(self.network)

    @property
    def results(self) -> Mapping[str, Tensor]:
        """The state of what the training returns, likewise: the network's own, or its average."""
        return State(self.shown)

    @property
    def parts(self) -> dict[str, Stateful | None]:
        """What has state, by name."""
        losses = nn.ModuleList(self.objective.modules.values()) if self.objective.modules else None
        return {
            "weights": Weights(self.weights),
            "average": Weights(self.results) if self._average else None,
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

    def order(self, start: int, stop: int) -> Iterator[Tensor]:
        """The draws, this process's share of each batch from one step to another."""
        batches = self._batches
        count = len(batches.views) if batches.views else 1
        epochs = batch_order(len(batches.examples), self._recipe.batch_size, self.seeds[0], count)
        every = chain.from_iterable(epoch.to(self._fabric.device).unbind(0) for epoch in epochs)
        return batches.ahead(share(draws, self._fabric) for draws in islice(every, start, stop))

    def take(self, draws: Tensor, progress: float) -> Tensor:
        """Put the gradients of a batch in place and return the losses, (terms + 1,).

        Args:
            draws: of the batch.
            progress: the share of the training's steps that are done.
        """
        weights = self.balanced | self.objective.weights_at(progress)
        knobs = {f"{name}.weight": value for name, value in weights.items()}
        self.optimizer.zero_grad(set_to_none=True)
        parts = self._recipe.accumulate
        values = [self._add_gradients(draws, knobs, place) for place in range(parts)]
        if self._differentiated:
            average_gradients(self.network.parameters(), self._fabric)
        average_gradients(
            chain.from_iterable(m.parameters() for m in self.objective.modules.values()), self._fabric
        )
        if self._recipe.clip:
            self._fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self._recipe.clip, error_if_nonfinite=False
            )
        return torch.stack(values).mean(dim=0) if parts > 1 else values[0]

    def _add_gradients(self, draws: Tensor, knobs: Mapping[str, Tensor | float], place: int) -> Tensor:
        """Of one part of a batch; its losses, (terms + 1,)."""
        parts, fabric = self._recipe.accumulate, self._fabric
        # Other processes are told once, of the sum.
        with fabric.no_backward_sync(self._model, enabled=place < parts - 1):
            batch = self._batches(draws, slice(place, None, parts))
            total, values = self.objective(self._passes(batch), knobs)
            fabric.backward(total / parts if parts > 1 else total)
        return values

    def step(self, number: int) -> None:
        """Change the weights by the gradients that are in place, as step number ``number`` of the training."""
        self.optimizer.step()
        if self._average:
            self._average.after(number)

    def _forward(self, network: nn.Module) -> Forward:
        return Forward(network, network, self._layers, self._differentiated)

    def _balance(self) -> dict[str, float]:
        """On copies, and with random numbers of its own: the training is what it would be with these numbers given."""
        if not self.objective.balanced:
            return {}
        network, own = copy.deepcopy(self.network).train(), self.objective.own_copy(self._fabric.device)
        draws = self.order(0, BATCHES)
        with forked(), self._forward(network) as forward:
            passes = (forward(self._batches(each)) for each in draws)
            found = balanced_weights(own, passes, list(network.parameters()), {})
        return self._fabric.broadcast(found) if self._fabric.world_size > 1 else found


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


def uncoupled(network: nn.Module) -> nn.Module:
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
