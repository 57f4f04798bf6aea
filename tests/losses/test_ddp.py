"""All losses under DistributedDataParallel: two processes with half of the batch each, against one with all of it."""

import pytest
import torch
from forked import start
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from course_lib.losses import (
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    hard_label_loss,
    input_gradient_loss,
    layer_response_loss,
    logit_loss,
    smoothed_label_loss,
    soft_target_loss,
)
from course_lib.models import Activations, small_mlp

N, M = 8, 3

# The fixture takes long: one process makes it, once.
pytestmark = pytest.mark.xdist_group("forked")


NAMES = ["hard", "smoothed", "logit", "soft", "literal", "matching", "penalty", "layer", "input gradient"]


def rand(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


X, LABELS, TEACHER, S = (
    rand(N, 1, 8, 8, seed=1),
    torch.arange(N),
    5 * rand(N, 10, seed=2),
    rand(10, M, seed=3),
)
ADAPTER = rand(10, 16, seed=5)
TARGETS = rand(N, M, 1, 8, 8, seed=4)


def losses(model, network, rows):
    """Every loss of the rows, by name, each with a forward pass of its own."""

    def passed():
        x = X[rows].clone().requires_grad_()
        with Activations(network, ["relu1"]) as z:
            logits = model(x)
        return logits, x, z["relu1"]

    logits, _, _ = passed()
    yield "hard", hard_label_loss(logits, LABELS[rows])
    logits, _, _ = passed()
    yield "smoothed", smoothed_label_loss(logits, LABELS[rows], 0.2)
    logits, _, _ = passed()
    yield "logit", logit_loss(logits, TEACHER[rows])
    logits, _, _ = passed()
    yield "soft", soft_target_loss(logits, TEACHER[rows], 4.0)
    logits, x, z = passed()
    yield "literal", gradient_loss(logits, [x, z], S) + logit_loss(logits, TEACHER[rows])
    logits, x, z = passed()
    yield "matching", gradient_matching_loss(logits, x, TARGETS[rows], S) + logit_loss(logits, TEACHER[rows])
    logits, x, z = passed()
    yield "penalty", gradient_penalty_loss(logits, [x, z], S, 0.5) + logit_loss(logits, TEACHER[rows])
    logits, x, z = passed()
    yield (
        "layer",
        layer_response_loss(z, TEACHER[rows], ADAPTER) + logit_loss(logits, TEACHER[rows]),
    )
    logits, x, z = passed()
    yield "input gradient", input_gradient_loss(logits, x) + logit_loss(logits, TEACHER[rows])


def gradients(model, network, rows):
    found = {}
    for name, loss in losses(model, network, rows):
        network.zero_grad()
        loss.backward()
        found[name] = torch.cat([p.grad.flatten() for p in network.parameters()])
    return found


def network():
    torch.manual_seed(0)
    return small_mlp()


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    net = network()
    found = gradients(DistributedDataParallel(net), net, torch.arange(N).chunk(2)[rank])
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    folder = tmp_path_factory.mktemp("ddp")
    processes = [start(work, rank, str(folder)) for rank in (0, 1)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_have_the_gradient_of_one(both, name):
    net = network()
    expected = gradients(net, net, torch.arange(N))[name]
    assert expected.abs().max() > 0.01
    for found in both:
        assert (found[name] - expected).abs().max() <= 1e-5 * expected.abs().max()
