"""Training in two processes under torchrun: the steps of one process with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from course_lib.training.processes import seed_of_process

sys.path.insert(0, str(Path(__file__).parent))
import two_processes

# The fixture takes long: one process makes it, once.
pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [*torchrun, two_processes.__file__, str(folder)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def test_each_process_draws_other_random_numbers():
    draws = []
    with torch.random.fork_rng():
        for seed in (3, 4):
            for rank in range(4):
                torch.manual_seed(seed_of_process(seed, rank))
                draws.append(tuple(torch.rand(4).tolist()))
    assert len(set(draws)) == len(draws)


def test_random_numbers_differ_between_the_processes_of_a_training(both):
    with torch.random.fork_rng():
        torch.manual_seed(seed_of_process(0, 1))
        of_second = torch.rand(two_processes.RECIPE.steps)
    assert both[1]["draw"] == float(of_second[-1]), "the second process draws from its own seed"
    assert both[0]["draw"] != both[1]["draw"]


@pytest.mark.parametrize("name", two_processes.OBJECTIVES)
def test_two_processes_take_the_steps_of_one(both, name):
    alone = two_processes.trained(name)
    for found in both:
        for term, values in alone.history.items():
            assert np.allclose(found[name]["history"][term], values, rtol=1e-4)
        for key, value in alone.model.state_dict().items():
            assert torch.allclose(found[name]["weights"][key], value, atol=1e-5)
    assert not np.allclose(alone.history["total"][0], alone.history["total"][-1], rtol=1e-2)


def test_two_processes_cut_average_and_choose_like_one(both):
    alone = two_processes.in_parts()
    for found in both:
        assert found["in parts"]["chosen"] == alone.chosen == 6
        for key, value in alone.model.state_dict().items():
            assert torch.allclose(found["in parts"]["weights"][key], value, atol=1e-5)


def test_a_training_of_two_goes_on_from_its_checkpoint_with_the_same_bits(both):
    for found in both:
        for key, value in found["whole"].items():
            assert torch.equal(found["again"][key], value)
    for key, value in both[0]["whole"].items():
        assert torch.equal(both[1]["whole"][key], value)
    assert both[0]["files"] == ["step-0000000012.ckpt", "step-0000000006.ckpt"]


def test_each_process_streams_its_share(both):
    for found in both:
        for key, value in found["memory"].items():
            assert torch.equal(found["stream"][key], value)


def test_batches_that_cannot_be_parted_equally_are_refused(both):
    assert "batch_size must be a multiple of the number of processes, 2, got 15" in both[1]["odd"]


def test_what_cannot_be_done_is_said_by_all_and_none_waits(both):
    for found in both:
        first, shares, together, locked = found["refused"]
        assert first == "the disk is full"
        assert shares == "batch_size must be a multiple of the number of processes, 2, got 33"
        assert together == "together must be False in several processes, got True in 2"
        assert locked.startswith("another distillation is at work in")
