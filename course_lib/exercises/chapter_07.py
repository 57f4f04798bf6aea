"""Exercises of chapter 07: a convolution as a product, the closest low rank, a layer's loss, in-place reads."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

# --- 07.1 ----------------------------------------------------------------------------------------------------------

IMAGES, KERNELS, BIAS = rand(2, 3, 4, 5, seed=1), rand(6, 3, 3, 3, seed=2), rand(6, seed=3)


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One matrix for all patches; the columns are the positions, row by row."""
    patches = F.unfold(x, 3, padding=1)  # (N, C·9, H·W)
    responses = weight.flatten(1) @ patches + bias[:, None]
    return responses.view(len(x), -1, *x.shape[2:])


def check_convolve(answer: Callable) -> str | None:
    got = answer(IMAGES, KERNELS, BIAS)
    expected = F.conv2d(IMAGES, KERNELS, BIAS, padding=1)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "These are the positions in one long row: give them back their rows and columns, (N, D, H, W).": (
            expected.flatten(2)
        ),
        "The bias is missing.": expected - BIAS[:, None, None],
        "Without padding=1 the edges are lost.": F.conv2d(IMAGES, KERNELS, BIAS),
        "Kernel and patch run in different directions: flatten the weight as it is, channels, rows, columns.": (
            F.conv2d(IMAGES, KERNELS.flip(2, 3), BIAS, padding=1)
        ),
        "Your positions are transposed: F.unfold lists them row by row, so view them as (H, W).": (
            expected.flatten(2).view(2, 6, 5, 4).transpose(2, 3)
        ),
    }
    return named(got, mistakes, f"Not the convolution: {problem}.")


# --- 07.2 ----------------------------------------------------------------------------------------------------------

RESPONSES = rand(40, 5, seed=4) @ torch.diag(torch.tensor([3.0, 1.0, 2.0, 0.5, 0.1]).double()) + torch.tensor(
    [4.0, -2.0, 0.0, 1.0, 6.0]
)


def closest(responses: Tensor, r: int) -> Tensor:
    """Subtract the mean, keep the r first components, add the mean again."""
    mean = responses.mean(dim=0)
    components = torch.linalg.svd(responses - mean, full_matrices=False).Vh[:r]  # (r, C)
    return mean + (responses - mean) @ components.T @ components


def truncated(matrix: Tensor, r: int) -> Tensor:
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    return (u[:, :r] * s[:r]) @ v[:r]


def check_closest(answer: Callable) -> str | None:
    mean = RESPONSES.mean(dim=0)
    for r in (2, 1, 5):
        # By eigenvectors of the covariance, not by the SVD.
        vectors = torch.linalg.eigh((RESPONSES - mean).T @ (RESPONSES - mean)).eigenvectors[:, -r:]
        expected = mean + (RESPONSES - mean) @ vectors @ vectors.T
        got = answer(RESPONSES, r)
        problem = difference(got, expected)
        if problem is None:
            continue
        mistakes = {
            "You did not subtract the mean first: then one component is spent on it, and the rest is worse.": truncated(
                RESPONSES, r
            ),
            "Add the mean again at the end.": expected - mean,
            "You kept the smallest components: the largest ones come first in an SVD, and last in eigh.": mean
            + (RESPONSES - mean) @ small_ones(RESPONSES - mean, r),
            "These are the r coordinates: multiply by the components once more to get back to C numbers.": (
                (RESPONSES - mean) @ vectors
            ),
            "One mean for each row: the mean response is over the rows, dim=0.": by_rows(RESPONSES, r),
        }
        return named(got, mistakes, f"For r = {r} it is not the closest: {problem}.")
    return None


def small_ones(centred: Tensor, r: int) -> Tensor:
    """The projection on the r smallest components."""
    vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, :r]
    return vectors @ vectors.T


def by_rows(responses: Tensor, r: int) -> Tensor:
    mean = responses.mean(dim=1, keepdim=True)
    return mean + truncated(responses - mean, r)


# --- 07.3 ----------------------------------------------------------------------------------------------------------

SMALL, BIG, ADAPTER = rand(4, 2, 3, 3, seed=5), rand(4, 6, 3, 3, seed=6), rand(6, 2, seed=7)


def layer_loss(student: Tensor, teacher: Tensor, adapter: Tensor) -> Tensor:
    """Sum over channels and positions, mean over the examples alone; the adapter as it is."""
    predicted = torch.einsum("bs,nshw->nbhw", adapter, student)
    return (predicted - teacher).square().sum(dim=(1, 2, 3)).mean()


def given_layer_loss(student: Tensor, teacher: Tensor, adapter: Tensor) -> Tensor:
    predicted = torch.einsum("sb,nshw->nbhw", adapter.reshape(student.shape[1], -1), student)
    return (predicted - teacher).square().mean()


def reshaped(adapter: Tensor) -> Tensor:
    """What ``reshape`` makes of (B, S): the right shape for a transposed product, and other numbers."""
    return adapter.reshape(adapter.shape[1], -1).T


def check_layer_loss(answer: Callable) -> str | None:
    got = answer(SMALL, BIG, ADAPTER)

    def gaps(matrix: Tensor) -> Tensor:
        """Squares at every position, by a loop over the teacher's channels."""
        return torch.stack(
            [
                (sum(row[s] * SMALL[:, s] for s in range(2)) - BIG[:, b]).square()
                for b, row in enumerate(matrix)
            ],
            dim=1,
        )  # (N, B, h, w)

    right, wrong = gaps(ADAPTER), gaps(reshaped(ADAPTER))
    expected = right.sum() / 4
    problem = difference(got, expected)
    if problem is None:
        return None
    mixed = "reshape does not transpose: it keeps the numbers in reading order and mixes A's rows up. Use A as it is"
    mistakes = {
        f"{mixed}; and a mean over channels and positions divides by their number: sum them.": wrong.mean(),
        f"The reduction is right now. But {mixed}.": wrong.sum() / 4,
        "A is right now. But you average over channels and positions too: a larger layer then counts "
        "less. Sum over them, mean over the examples.": right.mean(),
        "You average over the positions: sum them.": right.sum() / 4 / 9,
        "You average over the channels: sum them.": right.sum() / 4 / 6,
        "You sum over the examples too: then the loss grows with the batch. Take their mean.": right.sum(),
    }
    return named(got, mistakes, f"Not 1/N Σ ‖A z_small − z_big‖²: {problem}.")


# --- 07.4 ----------------------------------------------------------------------------------------------------------


def in_place_network() -> nn.Sequential:
    """A convolution whose output is overwritten by the ReLU behind it."""
    convolution = nn.Conv2d(2, 3, 3).double()
    with torch.no_grad():
        convolution.weight.copy_(rand(3, 2, 3, 3, seed=8))
        convolution.bias.zero_()
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


INPUT = rand(2, 2, 5, 5, seed=9)


def before_relu(network: nn.Sequential, x: Tensor) -> Tensor:
    """Keep a copy of what the layer returns: the tensor itself is overwritten a moment later."""
    seen = {}
    handle = network[0].register_forward_hook(lambda layer, inputs, output: seen.update(z=output.clone()))
    network(x)
    handle.remove()
    return seen["z"]


def given_before_relu(network: nn.Sequential, x: Tensor) -> Tensor:
    seen = {}
    handle = network[0].register_forward_hook(lambda layer, inputs, output: seen.update(z=output))
    network(x)
    handle.remove()
    return seen["z"]


def reading(network: nn.Sequential, x: Tensor, keep: Callable, *, remove: bool = True) -> Tensor:
    """``before_relu`` with another way to keep, for wrong answers."""
    seen = {}
    handle = network[0].register_forward_hook(lambda layer, inputs, output: seen.update(z=keep(output)))
    network(x)
    if remove:
        handle.remove()
    return seen["z"]


def read_in_place(network: nn.Sequential, x: Tensor) -> Tensor:
    return reading(network, x, lambda output: output)


def read_detached(network: nn.Sequential, x: Tensor) -> Tensor:
    return reading(network, x, lambda output: output.detach())


def copied_too_late(network: nn.Sequential, x: Tensor) -> Tensor:
    return reading(network, x, lambda output: output).clone()


def without_graph(network: nn.Sequential, x: Tensor) -> Tensor:
    return reading(network, x, lambda output: output.detach().clone())


def left_behind(network: nn.Sequential, x: Tensor) -> Tensor:
    return reading(network, x, lambda output: output.clone(), remove=False)


def changes_the_network(network: nn.Sequential, x: Tensor) -> Tensor:
    network[1].inplace = False
    return read_in_place(network, x)


def check_before_relu(answer: Callable) -> str | None:
    network = in_place_network()
    expected = F.conv2d(INPUT, network[0].weight.detach())
    got = answer(network, INPUT)
    problem = difference(got, expected)
    if problem is not None:
        mistakes = {
            "This has no negative numbers: the ReLU has overwritten the tensor that you kept. detach() does not copy, "
            "and a copy made after the pass is too late: clone() inside the hook.": expected.relu()
        }
        return named(got, mistakes, f"Not the response of the convolution: {problem}.")
    if network[0]._forward_hooks:
        return "Right, but your hook is still there and will fire at every later pass: remove it."
    if not network[1].inplace:
        return (
            "Right, but you have changed the network: it is not yours, and others rely on it. Copy instead."
        )
    if not got.requires_grad:
        return "The numbers are right, but cut off from the graph: for a student's loss clone without detach."
    return None


EXERCISES = (
    Exercise(
        id="07.1",
        title="A convolution as a matrix product",
        check=check_convolve,
        hint="F.unfold(x, 3, padding=1) is (N, C·9, H·W). Flatten the weight to (D, C·9), multiply, and view.",
        solution=convolve,
        wrong_answers=(
            WrongAnswer(lambda x, w, b: convolve(x, w, b).flatten(2), "rows and columns"),
            WrongAnswer(lambda x, w, b: convolve(x, w, 0 * b), "bias is missing"),
            WrongAnswer(lambda x, w, b: F.conv2d(x, w, b), "edges are lost"),
            WrongAnswer(lambda x, w, b: convolve(x, w.flip(2, 3), b), "different directions"),
            WrongAnswer(
                lambda x, w, b: (
                    convolve(x, w, b).flatten(2).view(len(x), -1, *x.shape[:1:-1]).transpose(2, 3)
                ),
                "positions are transposed",
            ),
            WrongAnswer(lambda x, w, b: convolve(x, w.transpose(2, 3), b), "Not the convolution"),
        ),
    ),
    Exercise(
        id="07.2",
        title="The closest approximation of rank r",
        check=check_closest,
        hint="Subtract the mean row. torch.linalg.svd(centred, full_matrices=False).Vh[:r] are the components.",
        solution=closest,
        wrong_answers=(
            WrongAnswer(truncated, "subtract the mean first"),
            WrongAnswer(lambda y, r: truncated(y - y.mean(0), r), "Add the mean again"),
            WrongAnswer(lambda y, r: y.mean(0) + (y - y.mean(0)) @ small_ones(y - y.mean(0), r), "smallest"),
            WrongAnswer(
                lambda y, r: (
                    (y - y.mean(0)) @ torch.linalg.eigh((y - y.mean(0)).T @ (y - y.mean(0)))[1][:, -r:]
                ),
                "r coordinates",
            ),
            WrongAnswer(by_rows, "mean for each row"),
            WrongAnswer(lambda y, r: y, "For r = 2"),
            WrongAnswer(lambda y, r: closest(y, 2), "For r = 1"),
        ),
    ),
    Exercise(
        id="07.3",
        title="Find the bug: the loss of a layer",
        check=check_layer_loss,
        hint="Try adapter.reshape(2, 3) and adapter.T on a small matrix. And what does .mean() divide by?",
        solution=layer_loss,
        wrong_answers=(
            WrongAnswer(
                lambda s, t, a: layer_loss(s, t, reshaped(a)) / t[0].numel(), "divides by their number"
            ),
            WrongAnswer(lambda s, t, a: layer_loss(s, t, reshaped(a)), "The reduction is right now"),
            WrongAnswer(
                lambda s, t, a: layer_loss(s, t, a) / t[0].numel(), "a larger layer then counts less"
            ),
            WrongAnswer(lambda s, t, a: layer_loss(s, t, a) / t[0, 0].numel(), "over the positions"),
            WrongAnswer(lambda s, t, a: layer_loss(s, t, a) / t.shape[1], "over the channels"),
            WrongAnswer(lambda s, t, a: layer_loss(s, t, a) * len(s), "grows with the batch"),
            WrongAnswer(lambda s, t, a: layer_loss(s, t, -a), "Not 1/N"),
        ),
        given=given_layer_loss,
    ),
    Exercise(
        id="07.4",
        title="Find the bug: read before the ReLU",
        check=check_before_relu,
        hint="The hook keeps the tensor, not its numbers of that moment. Which method copies and stays in the graph?",
        solution=before_relu,
        wrong_answers=(
            WrongAnswer(read_in_place, "no negative numbers"),
            WrongAnswer(read_detached, "detach() does not copy"),
            WrongAnswer(copied_too_late, "too late"),
            WrongAnswer(without_graph, "cut off from the graph"),
            WrongAnswer(left_behind, "remove it"),
            WrongAnswer(changes_the_network, "changed the network"),
            WrongAnswer(lambda network, x: network(2 * x), "Not the response"),
        ),
        given=given_before_relu,
    ),
)
