"""Many trainings at once on one GPU: a step of all of them is recorded as one CUDA graph, each on a stream of its own.

A small network leaves most of a large GPU idle, and Python cannot start its kernels fast enough. One graph with the
steps of many independent networks has neither problem, whatever the networks are made of: with dropout, batch norm,
different objectives and learning rates. Images, answers and the order of the draws lie on the card, and no value is
looked at until the end. On a CPU the same step is taken without a graph.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.measure import accuracy, agreement, confidence_gap
from course_lib.models import evaluating
from course_lib.training import Objective
from course_lib.training.batches import pick
from course_lib.training.forward import Forward
from course_lib.training.sources import INPUTS, LABELS, TEACHER_LOGITS, Source
from course_lib.training.students import seeded

CHUNK = 200  # steps whose draws are made at once
STREAMS = 16
CLIP = 1.0  # largest norm of a gradient: without norm layers a large step can end a training
WARM_UP = 3  # steps before the recording, as PyTorch asks for; their traces are wiped out


@dataclass
class Member:
    """One training of a fleet.

    Attributes:
        network: trained in place, float32.
        objective: what for.
        lr, weight_decay: of SGD with Nesterov's momentum.
        seed: of dropout and of the order of the draws; pairs of methods share it.
        answers: the teacher's logits, (images · views, C), where the objective asks for them.
        rows: which of the images it is trained on, (n,); all if None.
        labels: of all images, in place of their own.
        ask: from inputs and labels of a batch to more sources, such as a live teacher's answers.
    """

    network: nn.Module
    objective: Objective
    lr: float
    weight_decay: float = 0.0
    seed: int = 0
    answers: Tensor | None = None
    rows: Tensor | None = None
    labels: Tensor | None = None
    ask: Callable[[Tensor, Tensor], Mapping[Source, Tensor]] | None = None


class Fleet:
    """Trainings with the same images, views, batch size and number of steps.

    Args:
        members: the trainings.
        examples: images with labels, on the device.
        views: of every image.
        batch_size: examples a step of each member.
        steps: of the whole training; the learning rate falls to 0 over them, after a short rise.
        graphed: whether a step is recorded; on a GPU if None.
    """

    def __init__(
        self,
        members: Sequence[Member],
        examples: Examples,
        views: Views,
        batch_size: int,
        steps: int,
        graphed: bool | None = None,
    ):
        self.members, self.steps, self.seconds, self.recording = list(members), steps, 0.0, 0.0
        self._examples, self._views, self._batch = examples, views, batch_size
        device = examples.device
        self._graphed = device.type == "cuda" if graphed is None else graphed
        self._run: Callable[[], None] | None = None
        for member in members:
            member.network.to(device, memory_format=torch.channels_last).train()
        # Weights are kept in float32 and used in bfloat16, but where slopes are differentiated once more.
        self._used = [_used(member, device) for member in members]
        bases = torch.tensor([member.lr for member in members], device=device)
        self._bases, self._lrs = bases, bases.clone()
        self._schedule = _schedule(steps, device)
        self._forwards = [
            Forward(used, used, (), member.objective.differentiated)
            for member, used in zip(members, self._used, strict=True)
        ]
        self._optimizers = [self._optimizer(place) for place in range(len(members))]
        self._done, self._at = (torch.zeros(1, dtype=torch.int64, device=device) for _ in range(2))
        self._order = torch.zeros(CHUNK, len(members), batch_size, dtype=torch.int64, device=device)
        self._draws = [_Draws(member, examples, views) for member in members]
        self._streams = (
            [torch.cuda.Stream() for _ in range(min(STREAMS, len(members)))] if device.type == "cuda" else []
        )

    def train(self) -> "Fleet":
        """Take all steps; ``seconds`` tells how long they took, ``recording`` how long it took to record one."""
        start = time.perf_counter()
        with seeded(self.members[0].seed):
            self._fill()
            self._run = self._recorded() if self._graphed else self._step
            self._wait()
            self.recording = time.perf_counter() - start
            self.again()
        for member, used in zip(self.members, self._used, strict=True):
            _give_back(used, member.network)
        return self

    def again(self) -> float:
        """Take as many steps once more, from where the weights are, and return the seconds."""
        if self._run is None:
            self.train()
        self._done.zero_()
        self._fill()
        self._wait()
        start = time.perf_counter()
        for number in range(self.steps):
            if number and number % CHUNK == 0:
                self._fill()
            self._run()
        self._wait()
        self.seconds = time.perf_counter() - start
        return self.seconds

    def _optimizer(self, place: int) -> torch.optim.Optimizer:
        """Over the float32 weights, with a learning rate that lies on the device, so that a recording can change it."""
        member = self.members[place]
        learned = [each for each in member.network.parameters() if each.requires_grad]
        for each in learned:
            each.grad = torch.zeros_like(each)
        rate = self._lrs[place]
        return torch.optim.SGD(
            learned, lr=rate, momentum=0.9, nesterov=True, weight_decay=member.weight_decay, fused=True
        )

    def _fill(self) -> None:
        """Draw the batches of the next steps."""
        size = CHUNK * self._batch
        drawn = torch.stack([draws.take(size) for draws in self._draws])  # (members, size)
        self._order.copy_(drawn.view(len(self.members), CHUNK, self._batch).transpose(0, 1))
        self._at.zero_()

    def _step(self) -> None:
        """One step of every member."""
        draws = self._order.index_select(0, self._at)[0]  # (members, B)
        torch.mul(self._bases, self._schedule.index_select(0, self._done), out=self._lrs)
        rows, views = draws // len(self._views), draws % len(self._views)
        with torch.no_grad():
            inputs = self._views.apply(self._examples.batch(rows.flatten()), views.flatten())
        inputs = inputs.contiguous(memory_format=torch.channels_last).chunk(len(self.members))
        labels = pick(self._examples.labels, rows)
        main = torch.cuda.current_stream() if self._streams else None
        for place, member in enumerate(self.members):
            with self._aside(place, main):
                # All that is made for one member is made on its stream: the main one would give the memory to the next
                # member while this one still reads.
                own = labels[place] if member.labels is None else pick(member.labels, rows[place])
                self._take(place, inputs[place], own, draws[place])
        for stream in self._streams:
            main.wait_stream(stream)
        self._at += 1
        self._done += 1

    @contextmanager
    def _aside(self, place: int, main: "torch.cuda.Stream | None") -> Iterator[None]:
        """On the member's stream, where there are any."""
        if main is None:
            yield
            return
        stream = self._streams[place % len(self._streams)]
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            yield

    def _take(self, place: int, inputs: Tensor, labels: Tensor, draws: Tensor) -> None:
        """One step of one member."""
        member, used = self.members[place], self._used[place]
        some = next(used.parameters())
        batch = {INPUTS: inputs.to(some.dtype), LABELS: labels}
        if member.answers is not None:
            batch[TEACHER_LOGITS] = member.answers.index_select(0, draws).float()
        if member.ask is not None:
            batch |= member.ask(inputs, labels)
        total, _ = member.objective(self._forwards[place](batch))
        learned = [each for each in used.parameters() if each.requires_grad]
        gradients = torch.autograd.grad(total, learned)
        master = [each for each in member.network.parameters() if each.requires_grad]
        with torch.no_grad():
            torch._foreach_copy_([each.grad for each in master], list(gradients))
            nn.utils.clip_grad_norm_(master, CLIP, foreach=True)
            self._optimizers[place].step()
            torch._foreach_copy_(learned, master)

    def _recorded(self) -> Callable[[], None]:
        """The step as a graph; a few steps are taken before, and undone."""
        state = [copy.deepcopy(each.state_dict()) for each in self._networks()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(min(WARM_UP, self.steps)):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self._undo(state)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        # Recording runs nothing, but what it leaves in Python, such as an optimiser's state, must be as before.
        self._undo(state)
        return graph.replay

    def _networks(self) -> list[nn.Module]:
        return [*(member.network for member in self.members), *self._used]

    @torch.no_grad()
    def _undo(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """In place, for a graph knows its tensors by their addresses."""
        for network, kept in zip(self._networks(), state, strict=True):
            network.load_state_dict(kept)
        for optimizer in self._optimizers:
            for values in optimizer.state.values():
                for value in values.values():
                    if isinstance(value, Tensor):
                        value.zero_()
        self._at.zero_()
        self._done.zero_()

    def _wait(self) -> None:
        if self._bases.is_cuda:
            torch.cuda.synchronize()

    def logits(self, examples: Examples) -> list[Tensor]:
        """Of every member now, (N, C)."""
        return [answered(used, examples) for used in self._used]


class _Draws:
    """Endless draws of one member, on the device: shuffled epochs, a view of each image drawn again each time."""

    def __init__(self, member: Member, examples: Examples, views: Views):
        device = examples.device
        self._rows = torch.arange(len(examples), device=device) if member.rows is None else member.rows
        self._views, self._left = len(views), self._rows.new_empty(0)
        self._generator = torch.Generator(device).manual_seed(member.seed)

    def take(self, number: int) -> Tensor:
        """The next ones, (number,)."""
        missing, size = number - len(self._left), len(self._rows)
        if missing > 0:
            epochs = -(-missing // size)
            numbers = torch.rand(epochs, size, generator=self._generator, device=self._rows.device)
            rows = self._rows[numbers.argsort(dim=1).flatten()]
            views = torch.randint(
                self._views, rows.shape, generator=self._generator, device=self._rows.device
            )
            self._left = torch.cat([self._left, rows * self._views + views])
        drawn, self._left = self._left[:number], self._left[number:]
        return drawn


def _used(member: Member, device: torch.device) -> nn.Module:
    """The network that computes: a copy in bfloat16, batch norm apart; in float32 where slopes are differentiated."""
    network = copy.deepcopy(member.network).to(device, memory_format=torch.channels_last)
    if not member.objective.differentiated:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.bfloat16()
    return network


@torch.no_grad()
def _give_back(used: nn.Module, network: nn.Module) -> None:
    """What only the copy has learned: the statistics of batch norm."""
    for mine, its in zip(network.buffers(), used.buffers(), strict=True):
        mine.copy_(its)
    network.eval()


def _schedule(steps: int, device: torch.device) -> Tensor:
    """Factors of the learning rate, (steps,): a rise over a twentieth, then half a cosine down to 0."""
    place = torch.arange(steps, dtype=torch.float64)
    rise = max(1, steps // 20)
    fall = 0.5 * (1 + torch.cos(torch.pi * (place - rise).clamp(min=0) / max(1, steps - rise)))
    return torch.minimum((place + 1) / rise, fall).float().to(device)


def answered(network: nn.Module, examples: Examples, batch_size: int = 2500) -> Tensor:
    """Logits for all examples as they are, (N, C) float32; of a diverged network they are not finite."""
    some = next(network.parameters())
    with evaluating(network), torch.no_grad():
        parts = torch.arange(len(examples), device=examples.device).split(batch_size)
        inputs = (examples.batch(rows).to(some.dtype, memory_format=torch.channels_last) for rows in parts)
        return torch.cat([network(each).float() for each in inputs])


def judged(logits: Tensor, labels: Tensor, teacher: Tensor | None = None) -> dict[str, float]:
    """Accuracy, agreement with a teacher's logits and confidence minus accuracy, in percent, and the mean loss.

    Of a diverged network the accuracy alone, 0: one such member must not cost the others.
    """
    if not torch.isfinite(logits).all():
        return {"accuracy": 0.0}
    found = {"accuracy": accuracy(logits, labels), "confidence_gap": confidence_gap(logits, labels)}
    if teacher is not None:
        found["agreement"] = agreement(logits, teacher)
    percent = {key: round(100 * value.item(), 4) for key, value in found.items()}
    return percent | {"loss": round(nn.functional.cross_entropy(logits, labels).item(), 4)}
