"""Layer-wise distillation: the response through an adapter, and the size of the input gradient, in closed form."""

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import input_gradient_loss, layer_response_loss
from course_lib.matrices import layer_adapter
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    student_activation,
    teacher_activation,
)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_dense_responses_by_hand():
    small, big, adapter = rand(5, 3, seed=1), rand(5, 2, seed=2), rand(2, 3, seed=3)
    expected = sum(
        (sum(adapter[c, k] * small[i, k] for k in range(3)) - big[i, c]) ** 2
        for i in range(5)
        for c in range(2)
    )
    assert layer_response_loss(small, big, adapter).item() == pytest.approx(expected.item() / 5, rel=1e-12)
    assert layer_response_loss(big, big).item() == 0


def test_maps_are_compared_on_the_smaller_grid():
    small, big, adapter = rand(4, 3, 2, 2, seed=1), rand(4, 2, 4, 4, seed=2), rand(2, 3, seed=3)
    blocks = big.view(4, 2, 2, 2, 2, 2).mean(dim=(3, 5))  # by hand: the mean of each block of 2 × 2
    predicted = torch.stack(
        [torch.stack([(adapter[c, :, None, None] * z).sum(0) for c in range(2)]) for z in small]
    )
    expected = (predicted - blocks).square().sum() / 4
    assert layer_response_loss(small, big, adapter).item() == pytest.approx(expected.item(), rel=1e-12)
    turned = layer_response_loss(big, small, adapter.T.contiguous())
    predicted = torch.stack(
        [torch.stack([(adapter.T[c, :, None, None] * z).sum(0) for c in range(3)]) for z in blocks]
    )
    assert turned.item() == pytest.approx(((predicted - small).square().sum() / 4).item(), rel=1e-12)


def test_gradients_against_finite_differences_and_none_to_the_teacher():
    small = rand(3, 2, 2, 2, seed=1).requires_grad_()
    adapter = rand(4, 2, seed=3).requires_grad_()
    big = rand(3, 4, 3, 3, seed=2)
    assert torch.autograd.gradcheck(lambda z, a: layer_response_loss(z, big, a), (small, adapter))
    teacher = big.clone().requires_grad_()
    loss = layer_response_loss(small, teacher, adapter)
    assert torch.autograd.grad(loss, teacher, allow_unused=True) == (None,)


def test_input_gradient_of_a_linear_network_is_its_weight():
    weight = rand(3, 5, seed=1)
    x = rand(4, 5, seed=2).requires_grad_()
    assert input_gradient_loss(x @ weight.T, x).item() == pytest.approx(
        weight.square().sum().item(), rel=1e-12
    )


def test_input_gradients_can_be_learned_from():
    weight = rand(3, 5, seed=1).requires_grad_()

    def loss(w):
        x = rand(4, 5, seed=2).requires_grad_()
        return input_gradient_loss(torch.tanh(x @ w.T), x)

    assert torch.autograd.gradcheck(loss, (weight,))


def test_adapter_finds_a_reordered_and_rescaled_copy():
    big = rand(200, 3, 2, 2, seed=1).relu()
    order, scale = torch.tensor([2, 0, 1]), torch.tensor([10.0, 0.1, 3.0], dtype=torch.float64)
    small = big[:, order] * scale[:, None, None]
    adapter = layer_adapter(big, torch.ones_like(big), small, temperature=200.0)
    torch.testing.assert_close(
        adapter, torch.eye(3, dtype=torch.float64)[:, order] / scale, rtol=0, atol=1e-6
    )
    assert layer_response_loss(small, big, adapter).item() < 1e-9


def test_adapter_of_dead_channels_is_zero_there():
    big, small = rand(50, 3, seed=1), rand(50, 2, seed=2)
    big[:, 1], small[:, 0] = 0, 0
    adapter = layer_adapter(big, torch.ones_like(big), small, temperature=5.0)
    assert adapter.isfinite().all()
    assert (adapter[1] == 0).all()
    assert (adapter[:, 0] == 0).all()
    assert (adapter[[0, 2], 1] != 0).all()


def test_adapter_keeps_the_sign_of_the_correlation():
    big = rand(100, 1, seed=1)
    adapter = layer_adapter(big, torch.ones_like(big), -2 * big, temperature=1.0)
    assert adapter.item() == pytest.approx(-0.5, rel=1e-9)


def test_students_trained_at_once_have_adapters_of_their_own(digits):
    teacher = cnn_teacher()
    cache = cache_teacher(teacher, digits.train, layers=["relu4"])
    adapters = [rand(128, 16, seed=s).float() / 50 for s in (1, 2)]
    recipe = Recipe(steps=5, batch_size=16, lr=1e-3)

    def objective(adapter):
        responses = {
            "student_response": student_activation("relu1"),
            "teacher_response": teacher_activation("relu4"),
        }
        return Objective([Term("layer", layer_response_loss, adapter=adapter, **responses)])

    together = fit_many(
        small_mlp,
        objective(PerStudent(adapters)),
        digits.train,
        recipe,
        seeds=[3, 4],
        teacher=cache,
        progress=False,
    )
    for place, seed in enumerate((3, 4)):
        alone = fit(
            small_mlp,
            objective(adapters[place]),
            digits.train,
            recipe,
            seed=seed,
            teacher=cache,
            progress=False,
        )
        torch.testing.assert_close(
            together.model(place).linear1.weight, alone.model.linear1.weight, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: layer_response_loss(torch.zeros(2, 3), torch.zeros(3, 3)),
            r"teacher_response .* \(2, 3\), got \(3, 3\)",
        ),
        (
            lambda: layer_response_loss(torch.zeros(2, 3), torch.zeros(2, 3, 1, 1)),
            "the dimensions of student_response",
        ),
        (
            lambda: layer_response_loss(torch.zeros(2, 3), torch.zeros(2, 4)),
            "adapter must be given .* 3 of the student, 4",
        ),
        (
            lambda: layer_response_loss(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(3, 4)),
            r"adapter must be a tensor of shape \(4, 3\).* got \(3, 4\)",
        ),
        (lambda: layer_response_loss([1.0], torch.zeros(2, 4)), "student_response .* got list"),
        (
            lambda: layer_response_loss(torch.zeros(2, 3).long(), torch.zeros(2, 3)),
            "student_response must be floating",
        ),
        (lambda: input_gradient_loss(torch.zeros(2, 3), torch.zeros(2, 5)), "part of an autograd graph"),
        (lambda: input_gradient_loss(nn.Linear(5, 3)(torch.zeros(2, 5)), torch.zeros(2, 5)), "requires_grad"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()
