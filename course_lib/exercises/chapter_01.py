"""Exercises of chapter 01: parameters and operations, honest timing, serving users in time, a machine's free energy."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

# --- 01.1 ----------------------------------------------------------------------------------------------------------


def conv_parameters(in_channels: int, out_channels: int, kernel: int) -> int:
    """A kernel × kernel filter per pair of channels, and one bias per output channel."""
    return in_channels * out_channels * kernel**2 + out_channels


def check_conv_parameters(answer: Callable) -> str | None:
    mistakes = {
        "The biases are missing, one for each output channel. The article forgets them too.": 884_736,
        "There is one bias for each output channel, not for each input channel.": 884_736 + 256,
        "A square kernel has k² weights, not k.": 256 * 384 * 3 + 384,
        "Every output channel has a kernel of its own for every input channel: multiply the two.": 640 * 9
        + 384,
        "One bias for each output channel, not one for each filter.": 884_736 + 256 * 384,
    }
    got = answer(256, 384, 3)
    if (problem := difference(got, 885_120.0, tolerance=1e-9)) is not None:
        return named(got, mistakes, f"For 256 → 384 channels with 3×3 kernels: {problem}.", tolerance=1e-9)
    layer = sum(p.numel() for p in nn.Conv2d(3, 96, 11).parameters())
    problem = difference(answer(3, 96, 11), float(layer), tolerance=1e-9)
    return None if problem is None else f"Right for 256 → 384, but for 3 → 96 channels, 11×11: {problem}."


# --- 01.2 ----------------------------------------------------------------------------------------------------------


def conv_macs(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    """Every weight works once at every position of the output; biases are added, not multiplied."""
    return in_channels * out_channels * kernel**2 * height * width


def check_conv_macs(answer: Callable) -> str | None:
    mistakes = {
        "These are the weights. Each works at every position of the output: multiply by their number.": 18_432,
        "A bias is added, not multiplied: leave it out.": (18_432 + 64) * 48,
        "One MAC is a multiplication and an addition together. You counted both, which are FLOPs.": 2
        * 884_736,
        "A square kernel has k² weights, not k.": 884_736 // 3,
        "The output has height × width positions: multiply the two, do not add them.": 18_432 * 14,
        "Every output channel has a kernel of its own for every input channel.": 64 * 9 * 48,
    }
    got = answer(32, 64, 3, 6, 8)
    if (problem := difference(got, 884_736.0, tolerance=1e-9)) is not None:
        text = f"For 32 → 64 channels, 3×3 kernels and 6×8 positions: {problem}."
        return named(got, mistakes, text, tolerance=1e-9)
    if (problem := difference(answer(1, 5, 1, 2, 2), 20.0)) is not None:
        return f"Right for 3×3 kernels, but for 1 → 5 channels, 1×1, on 2×2 positions: {problem}."
    return None


# --- 01.3 ----------------------------------------------------------------------------------------------------------


def latency(model: nn.Module, x: Tensor, clock: Callable[[], float], repeats: int = 20) -> float:
    """Mean time of one answer: eval mode, no graph, warm, and the clock read around the calls only."""
    model.eval()
    with torch.inference_mode():
        for _ in range(3):  # warm-up
            model(x)
        start = clock()
        for _ in range(repeats):
            model(x)
        return (clock() - start) / repeats


class Watched(nn.Module):
    """Keeps its own time: 1 for an answer, more in the first call, in train mode, or where a graph is recorded."""

    def __init__(self):
        super().__init__()
        self.now, self.calls, self.trained, self.recorded = 0.0, 0, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.trained += self.training
        self.recorded += torch.is_grad_enabled()
        self.now += 1 + 40 * (self.calls == 0) + 3 * self.training + 2 * torch.is_grad_enabled()
        self.calls += 1
        return x

    def clock(self) -> float:
        return self.now


def check_latency(answer: Callable) -> str | None:
    model = Watched().train()
    with torch.enable_grad():
        got = answer(model, torch.zeros(1, 4), model.clock)
    if model.calls < 2:
        return "One call is not a measurement: repeat it."
    if model.trained:
        return (
            "The model runs in train mode, with dropout on and batch norm learning: call model.eval() first."
        )
    if model.recorded:
        return "PyTorch still records a graph for gradients: measure inside torch.inference_mode()."
    if difference(got, 1.0) is None:
        return None
    if not isinstance(got, torch.Tensor | float | int):
        return "Return one number, the time of one answer."
    if float(got) >= 10 and float(got) == round(float(got)):
        return "This is the time of all calls together: divide by their number."
    if float(got) > 1:
        return "The first call is slow, since it prepares what later calls reuse: warm up before the clock starts."
    return f"An answer of this model takes 1 unit of its clock, got {float(got):.3g}."


def timed(*, ready: bool = True, inference: bool = True, warm: int = 3, per_call: bool = True) -> Callable:
    """An answer to 01.3 with one thing left out."""

    def measure(model, x, clock, repeats=20):
        if ready:
            model.eval()
        with torch.inference_mode(inference):
            for _ in range(warm):
                model(x)
            start = clock()
            for _ in range(repeats):
                model(x)
            return (clock() - start) / (repeats if per_call else 1)

    return measure


# --- 01.4 ----------------------------------------------------------------------------------------------------------


def best_throughput(curve: list[tuple[int, float]], patience: float) -> float:
    """Most examples per second among the batch sizes whose whole batch is answered within ``patience`` seconds."""
    return max(batch / seconds for batch, seconds in curve if seconds <= patience)


def check_best_throughput(answer: Callable) -> str | None:
    curve = [(1, 0.001), (8, 0.002), (32, 0.010), (256, 0.050), (2048, 0.300)]
    mistakes = {
        "You ignored the patience: batches of 2048 take 0.3 s, and nobody here waits longer than 0.02 s.": 2048
        / 0.3,
        "You counted batches per second. Every batch answers several examples.": 1000.0,
        "The largest batch in time is not always the fastest: compare the throughputs.": 3200.0,
        "This is seconds per example: take the reciprocal.": 0.00025,
        "The times are in seconds already: there is a factor 1000 too much.": 4e6,
        "The times are in seconds already: there is a factor 1000 too little.": 4.0,
        "This is the size of the batch; the throughput is its examples per second.": 8.0,
    }
    got = answer(curve, 0.02)
    if (problem := difference(got, 4000.0)) is not None:
        return named(got, mistakes, f"With a patience of 0.02 s: {problem}.", tolerance=1e-9)
    problem = difference(answer(curve, 0.05), 5120.0)
    return (
        None
        if problem is None
        else f"A batch that takes exactly as long as the patience is in time: {problem}."
    )


# --- 01.5 ----------------------------------------------------------------------------------------------------------

# A machine of 6 visible and 3 hidden units, and images for it.
WEIGHTS, VISIBLE, HIDDEN = rand(3, 6, seed=1), rand(6, seed=2), rand(3, seed=3)
IMAGES = (rand(5, 6, seed=4) > 0).double()


def free_energy(images: Tensor, weights: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
    """Each hidden unit is off, with energy 0, or on, and softplus(a) = log(e⁰ + eᵃ) sums over both."""
    return -images @ visible - torch.nn.functional.softplus(images @ weights.T + hidden).sum(dim=1)


def check_free_energy(answer: Callable) -> str | None:
    states = torch.tensor(
        list(product([0.0, 1.0], repeat=3)), dtype=torch.float64
    )  # all 8 of the hidden units
    energies = (
        -(IMAGES @ VISIBLE)[:, None] - states @ HIDDEN - (IMAGES @ WEIGHTS.T) @ states.T
    )  # (images, states)
    expected = -torch.logsumexp(-energies, dim=1)
    arguments = IMAGES @ WEIGHTS.T + HIDDEN  # (images, hidden)
    softplus = torch.nn.functional.softplus(arguments).sum(dim=1)
    mistakes = {
        "The sign is wrong: likely images have a low free energy.": -expected,
        "The visible biases are missing: −b·v.": -softplus,
        "The hidden biases are missing inside the sum.": free_energy(IMAGES, WEIGHTS, VISIBLE, 0 * HIDDEN),
        "This is the energy with every hidden unit on. Sum over on and off: log(1 + eᵃ).": -IMAGES @ VISIBLE
        - arguments.sum(dim=1),
        "This is the energy at the best hidden state. Sum over all states: log(1 + eᵃ), not max(0, a).": -IMAGES
        @ VISIBLE
        - arguments.relu().sum(dim=1),
        "There is a sigmoid where the logarithm log(1 + eᵃ) belongs.": -IMAGES @ VISIBLE
        - arguments.sigmoid().sum(dim=1),
        "Give one number for each image: sum over the hidden units, not over the images.": expected.sum(),
    }
    got = answer(IMAGES, WEIGHTS, VISIBLE, HIDDEN)
    problem = difference(got, expected)
    return (
        None
        if problem is None
        else named(got, mistakes, f"Not −log of the sum over hidden states: {problem}.")
    )


def given_latency(model, x, clock, repeats=20):
    start = clock()
    for _ in range(repeats):
        model(x)
    return (clock() - start) / repeats


EXERCISES = (
    Exercise(
        id="01.1",
        title="Parameters of a convolution",
        check=check_conv_parameters,
        hint="How many kernels are there, one for each pair of channels? How many weights per kernel? Then the biases.",
        solution=conv_parameters,
        wrong_answers=(
            WrongAnswer(lambda i, o, k: i * o * k**2, "biases are missing"),
            WrongAnswer(lambda i, o, k: i * o * k**2 + i, "not for each input channel"),
            WrongAnswer(lambda i, o, k: i * o * k + o, "k² weights"),
            WrongAnswer(lambda i, o, k: (i + o) * k**2 + o, "multiply the two"),
            WrongAnswer(lambda i, o, k: i * o * (k**2 + 1), "each filter"),
            WrongAnswer(lambda i, o, k: 885_120, "Right for 256"),
            WrongAnswer(lambda i, o, k: i * o, "For 256"),
        ),
    ),
    Exercise(
        id="01.2",
        title="MACs of a convolution",
        check=check_conv_macs,
        hint="Count the weights as in 01.1, without the biases. At how many positions does each of them work?",
        solution=conv_macs,
        wrong_answers=(
            WrongAnswer(lambda i, o, k, h, w: i * o * k**2, "at every position"),
            WrongAnswer(lambda i, o, k, h, w: (i * o * k**2 + o) * h * w, "leave it out"),
            WrongAnswer(lambda i, o, k, h, w: 2 * conv_macs(i, o, k, h, w), "FLOPs"),
            WrongAnswer(lambda i, o, k, h, w: i * o * k * h * w, "k² weights"),
            WrongAnswer(lambda i, o, k, h, w: i * o * k**2 * (h + w), "multiply the two"),
            WrongAnswer(lambda i, o, k, h, w: o * k**2 * h * w, "of its own"),
            WrongAnswer(lambda i, o, k, h, w: 884_736, "1 → 5 channels"),
            WrongAnswer(lambda i, o, k, h, w: i, "32 → 64"),
        ),
    ),
    Exercise(
        id="01.3",
        title="Find the bug: a stopwatch that lies",
        check=check_latency,
        hint="Three things are missing: eval mode, inference mode, and some calls before the clock starts.",
        solution=latency,
        wrong_answers=(
            WrongAnswer(timed(ready=False, inference=False, warm=0), "train mode"),
            WrongAnswer(timed(ready=False), "train mode"),
            WrongAnswer(timed(inference=False), "records a graph"),
            WrongAnswer(timed(warm=0), "warm up"),
            WrongAnswer(timed(per_call=False), "all calls together"),
            WrongAnswer(lambda model, x, clock: clock(), "One call"),
            WrongAnswer(lambda model, x, clock: str(timed()(model, x, clock)), "Return one number"),
            WrongAnswer(lambda model, x, clock: timed()(model, x, clock) / 2, "takes 1 unit"),
        ),
        given=given_latency,
    ),
    Exercise(
        id="01.4",
        title="As many users as possible, all in time",
        check=check_best_throughput,
        hint="Throw away the batch sizes that take too long. For the others compute batch / seconds; take the largest.",
        solution=best_throughput,
        wrong_answers=(
            WrongAnswer(lambda curve, patience: max(b / s for b, s in curve), "ignored the patience"),
            WrongAnswer(lambda curve, patience: max(1 / s for b, s in curve if s <= patience), "batches per"),
            WrongAnswer(
                lambda curve, patience: [b / s for b, s in curve if s <= patience][-1], "largest batch"
            ),
            WrongAnswer(lambda curve, patience: min(s / b for b, s in curve if s <= patience), "reciprocal"),
            WrongAnswer(lambda curve, patience: 1000 * best_throughput(curve, patience), "too much"),
            WrongAnswer(lambda curve, patience: best_throughput(curve, patience) / 1000, "too little"),
            WrongAnswer(lambda curve, patience: 8, "size of the batch"),
            WrongAnswer(
                lambda curve, patience: max(b / s for b, s in curve if s < patience), "exactly as long"
            ),
            WrongAnswer(lambda curve, patience: 7.0, "patience of 0.02 s"),
        ),
    ),
    Exercise(
        id="01.5",
        title="Free energy of a Boltzmann machine",
        check=check_free_energy,
        hint="The hidden units do not see each other, so the sum over all their states is a product, one factor 1 + eᵃ "
        "for each. Its logarithm is a sum of torch.nn.functional.softplus(a), with a = c + W v.",
        solution=free_energy,
        wrong_answers=(
            WrongAnswer(lambda v, w, b, c: -free_energy(v, w, b, c), "sign"),
            WrongAnswer(lambda v, w, b, c: free_energy(v, w, 0 * b, c), "visible biases"),
            WrongAnswer(lambda v, w, b, c: free_energy(v, w, b, 0 * c), "hidden biases"),
            WrongAnswer(lambda v, w, b, c: -v @ b - (v @ w.T + c).sum(1), "every hidden unit on"),
            WrongAnswer(lambda v, w, b, c: -v @ b - (v @ w.T + c).relu().sum(1), "best hidden state"),
            WrongAnswer(lambda v, w, b, c: -v @ b - (v @ w.T + c).sigmoid().sum(1), "sigmoid"),
            WrongAnswer(lambda v, w, b, c: free_energy(v, w, b, c).sum(), "each image"),
            WrongAnswer(lambda v, w, b, c: free_energy(v, w, b, c) + 1, "hidden states"),
        ),
    ),
)
