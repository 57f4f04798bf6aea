"""A real copy of CIFAR-10, where COURSE_DATA names one: the right counts, classes and plausible pixels."""

import os

import pytest
import torch

from course_lib.data import load

COPY = os.environ.get("COURSE_DATA")  # read before other tests' settings hide it

pytestmark = pytest.mark.skipif(not COPY, reason="COURSE_DATA names no copy of CIFAR-10")


def test_a_real_copy(monkeypatch):
    monkeypatch.setenv("COURSE_DATA", COPY)
    dataset = load("cifar10")
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [45000, 5000, 10000]
    assert [part.labels.bincount().tolist() for part in parts] == [[4500] * 10, [500] * 10, [1000] * 10]
    assert torch.equal(torch.cat([part.index for part in parts]).sort().values, torch.arange(60000))
    assert dataset.title in ("CIFAR-10", "CIFAR-10 (JPEG copy)", "CIFAR-10 (PNG copy)")
    # Widely published values for the 50,000 training images; JPEG and the split move them little.
    assert torch.allclose(dataset.train.mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=0.005)
    assert torch.allclose(dataset.train.std, torch.tensor([0.2470, 0.2435, 0.2616]), atol=0.005)
    assert dataset.test.batch(torch.arange(6).view(2, 3)).shape == (2, 3, 3, 32, 32)
