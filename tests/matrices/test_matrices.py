"""Soft matrices against closed forms, finite differences and autograd; their limits; what they refuse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.losses import soft_gradients
from course_lib.matrices import (
    class_soft_matrix,
    cross_entropy_matrix,
    layer_adapter,
    layer_soft_matrices,
    softmax_jacobian,
)


def rand(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


LOGITS, LABELS = 3 * rand(8, 4, seed=1), torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])


# --- Between classes -----------------------------------------------------------------------------------------------


def test_a_column_is_the_mean_softened_answer_to_the_examples_of_its_class():
    matrix = class_soft_matrix(LOGITS, LABELS, 2.0, 4)
    for c in range(3):
        rows = [row for row, label in zip(LOGITS, LABELS, strict=True) if label == c]
        expected = sum((row / 2).exp() / (row / 2).exp().sum() for row in rows) / len(rows)
        assert torch.allclose(matrix[:, c], expected, rtol=1e-12)


def test_a_class_without_examples_gets_its_one_hot_column():
    assert class_soft_matrix(LOGITS, LABELS, 2.0, 4)[:, 3].tolist() == [0, 0, 0, 1]


def test_a_cold_matrix_is_the_confusion_and_a_hot_one_is_uniform():
    confusion = torch.zeros(4, 4, dtype=torch.float64)
    for row, label in zip(LOGITS, LABELS, strict=True):
        confusion[row.argmax(), label] += 1 / (label == LABELS).sum()
    cold = class_soft_matrix(LOGITS, LABELS, 1e-6, 4)
    assert torch.allclose(cold[:, :3], confusion[:, :3], atol=1e-9)
    assert torch.allclose(
        class_soft_matrix(LOGITS, LABELS, 1e6, 4)[:, :3], torch.tensor(0.25).double(), atol=1e-5
    )


@given(
    st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(0.01, 1000),
)
def test_columns_are_distributions_whatever_the_logits(rows, temperature):
    labels = torch.arange(len(rows)) % 3
    matrix = class_soft_matrix(torch.tensor(rows), labels, temperature, 3)
    assert (matrix >= 0).all()
    assert torch.allclose(matrix.sum(dim=0), torch.ones(3), atol=1e-5)


def test_half_precision_is_computed_in_float32():
    half = class_soft_matrix(LOGITS.half(), LABELS, 2.0, 4)
    assert half.dtype == torch.float32
    assert torch.allclose(half.double(), class_soft_matrix(LOGITS, LABELS, 2.0, 4), atol=1e-3)
    assert softmax_jacobian(LOGITS.bfloat16(), 2.0).dtype == torch.float32


# --- Jacobian of the softmax, cross-entropy ------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_softmax_jacobian_against_float64_finite_differences(temperature):
    jacobian = softmax_jacobian(LOGITS, temperature)
    step = 1e-6
    for j in range(4):
        bump = torch.zeros(4, dtype=torch.float64)
        bump[j] = step
        above, below = (torch.softmax((LOGITS + sign * bump) / temperature, dim=1) for sign in (1, -1))
        assert torch.allclose(jacobian[:, :, j], (above - below) / (2 * step), rtol=1e-5, atol=1e-9)


def test_softmax_jacobian_is_symmetric_and_its_rows_sum_to_zero():
    jacobian = softmax_jacobian(LOGITS, 4.0)
    assert torch.equal(jacobian, jacobian.transpose(1, 2))
    assert jacobian.sum(dim=2).abs().max() < 1e-15


def test_soft_gradients_with_it_are_those_of_the_softened_probabilities():
    weight = rand(4, 5, seed=2)
    x = rand(8, 5, seed=3).requires_grad_()
    logits = x @ weight.T
    found = soft_gradients(logits, x, softmax_jacobian(logits.detach(), 3.0))
    probabilities = torch.softmax(logits / 3, dim=1)
    for c in range(4):
        (expected,) = torch.autograd.grad(probabilities[:, c].sum(), x, retain_graph=True)
        assert torch.allclose(found[:, c], expected, rtol=1e-10, atol=1e-14)


def test_the_cross_entropy_matrix_makes_the_gradient_of_the_cross_entropy():
    weight = rand(4, 5, seed=2)
    x = rand(8, 5, seed=3).requires_grad_()
    logits = x @ weight.T
    found = soft_gradients(logits, x, cross_entropy_matrix(logits.detach(), LABELS))
    loss = torch.nn.functional.cross_entropy(logits, LABELS, reduction="sum")
    assert found.shape == (8, 1, 5)
    assert torch.allclose(found[:, 0], torch.autograd.grad(loss, x)[0], rtol=1e-10)


def test_with_mixed_labels_it_makes_the_gradient_of_their_cross_entropy():
    weight, shares = rand(4, 5, seed=2), torch.softmax(rand(8, 4, seed=4), dim=1)
    x = rand(8, 5, seed=3).requires_grad_()
    logits = x @ weight.T
    found = soft_gradients(logits, x, cross_entropy_matrix(logits.detach(), shares))
    loss = torch.nn.functional.cross_entropy(logits, shares, reduction="sum")
    assert torch.allclose(found[:, 0], torch.autograd.grad(loss, x)[0], rtol=1e-10)


# --- Between layers ------------------------------------------------------------------------------------------------


def correlation(first, second):
    first, second = first.flatten() - first.mean(), second.flatten() - second.mean()
    return (first * second).sum() / (first.norm() * second.norm())


def test_w_soft_is_the_correlation_of_responses_and_s_soft_its_softmax_times_t():
    activation, gradient, own = rand(6, 3, 4, 4, seed=1), rand(6, 3, 4, 4, seed=2), rand(6, 2, 4, 4, seed=3)
    w, s = layer_soft_matrices(activation, gradient, own, 5.0)
    response = activation * gradient
    for i in range(3):
        row = [correlation(response[:, i], own[:, j]).item() for j in range(2)]
        assert w[i].tolist() == pytest.approx(row, rel=1e-10)
        weights = [torch.tensor(5.0 * value).double().exp().item() for value in row]
        assert s[i].tolist() == pytest.approx([weight / sum(weights) for weight in weights], rel=1e-6)


def test_larger_maps_are_averaged_down_to_the_smaller_grid():
    activation, gradient, own = (
        rand(6, 3, 4, 4, seed=1),
        torch.ones(6, 3, 4, 4).double(),
        rand(6, 2, 2, 2, seed=3),
    )
    pooled = activation.view(6, 3, 2, 2, 2, 2).mean(dim=(3, 5))
    w, _ = layer_soft_matrices(activation, gradient, own, 1.0)
    assert w[1, 0].item() == pytest.approx(correlation(pooled[:, 1], own[:, 0]).item(), rel=1e-10)
    dense, _ = layer_soft_matrices(activation, gradient, rand(6, 5, seed=4), 1.0)
    assert dense.shape == (3, 5)


def test_a_channel_finds_its_copy_and_the_opposite_of_it():
    activation = rand(20, 2, 3, 3, seed=1)
    own = torch.stack([2 * activation[:, 1] + 7, -activation[:, 0]], dim=1)
    w, s = layer_soft_matrices(activation, torch.ones_like(activation), own, 50.0)
    assert w[1, 0].item() == pytest.approx(1, abs=1e-12)
    assert w[0, 1].item() == pytest.approx(-1, abs=1e-12)
    assert s.argmax(dim=1).tolist()[1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_channel_that_never_varies_is_correlated_with_none(dtype):
    activation = rand(6, 2, 3, 3, seed=1, dtype=dtype)
    activation[:, 0] = 0.1
    w, s = layer_soft_matrices(activation, torch.ones_like(activation), rand(6, 4, seed=2, dtype=dtype), 3.0)
    assert w[0].tolist() == [0, 0, 0, 0]
    assert s[0].tolist() == [0.25] * 4


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_w_soft_is_a_correlation_and_rows_of_s_soft_sum_to_one(seed, temperature):
    w, s = layer_soft_matrices(
        rand(4, 3, seed=seed), rand(4, 3, seed=seed + 1), rand(4, 2, seed=seed + 2), temperature
    )
    assert w.abs().max() <= 1
    assert torch.allclose(s.sum(dim=1), torch.ones(3).double())


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_maps_whose_squares_leave_float32_correlate_like_others(size):
    maps = [
        rand(6, channels, 4, 4, seed=seed, dtype=torch.float32) for channels, seed in ((3, 1), (3, 2), (2, 3))
    ]
    plain, scaled = layer_soft_matrices(*maps, 2.0), layer_soft_matrices(*(each * size for each in maps), 2.0)
    torch.testing.assert_close(scaled, plain)
    activation, gradient, own = maps
    adapter = layer_adapter(activation, gradient, own * size, 2.0)
    torch.testing.assert_close(adapter * size, layer_adapter(*maps, 2.0), rtol=1e-4, atol=1e-6)


def test_channels_of_very_different_sizes_stand_beside_each_other():
    sizes = torch.tensor([1e-25, 1.0, 1e25])[:, None, None]
    activation, gradient = (rand(6, 3, 4, 4, seed=seed, dtype=torch.float32) for seed in (1, 2))
    own = rand(6, 2, 4, 4, seed=3, dtype=torch.float32)
    plain = layer_soft_matrices(activation, gradient, own, 2.0)
    torch.testing.assert_close(layer_soft_matrices(activation * sizes, gradient, own, 2.0), plain)
    adapter = layer_adapter(activation * sizes, gradient, own, 2.0)
    torch.testing.assert_close(
        adapter / sizes[..., 0], layer_adapter(activation, gradient, own, 2.0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(("relative", "counts"), [(3e-5, True), (3e-6, False)])
def test_a_channel_counts_if_it_varies_by_more_than_rounding_of_its_own_size(relative, counts):
    """Among others: the size is the channel's, not that of all channels together."""
    own = rand(6, 100, 4, 4, seed=1)
    varying = rand(6, 4, 4, seed=2)
    own[:, 0] = 5 + 5 * relative * varying / (varying - varying.mean()).square().mean().sqrt()
    w, _ = layer_soft_matrices(varying[:, None], torch.ones(6, 1, 4, 4).double(), own, 1.0)
    assert w[0, 0].item() == pytest.approx(1 if counts else 0, abs=1e-6)


def test_no_correlation_is_above_one_by_rounding():
    for seed in range(20):
        maps = rand(5, 4, 3, 3, seed=seed, dtype=torch.float32)
        w, _ = layer_soft_matrices(maps, torch.ones_like(maps), torch.cat([maps, -maps], dim=1), 1.0)
        assert w.abs().max() <= 1
        assert w[0, 0].item() == pytest.approx(1)


def test_weights_of_an_adapter_sum_to_one_for_responses_of_unit_size():
    activation, gradient, own = rand(6, 3, 4, 4, seed=1), rand(6, 3, 4, 4, seed=2), rand(6, 5, 4, 4, seed=3)
    big, small = (maps.square().mean(dim=(0, 2, 3)).sqrt() for maps in (activation, own))
    weights = layer_adapter(activation, gradient, own, 4.0) * small / big[:, None]
    w, s = layer_soft_matrices(activation, gradient, own, 4.0)
    assert weights.abs().sum(dim=1).tolist() == pytest.approx([1.0] * 3)
    assert torch.equal(weights.sign(), w.sign())
    torch.testing.assert_close(weights, w * s / (w * s).abs().sum(dim=1, keepdim=True))


def test_the_matrices_have_no_graph():
    maps = [rand(6, 3, seed=seed).requires_grad_() for seed in (1, 2, 3)]
    assert not any(
        each.requires_grad for each in (*layer_soft_matrices(*maps, 1.0), layer_adapter(*maps, 1.0))
    )


def test_layers_of_different_precision_are_computed_in_the_wider_one():
    maps = rand(6, 3, 4, 4, seed=1).float(), rand(6, 3, 4, 4, seed=2).float(), rand(6, 2, 4, 4, seed=3)
    found, wanted = (
        layer_soft_matrices(*maps, 2.0),
        layer_soft_matrices(*(each.double() for each in maps), 2.0),
    )
    assert found[0].dtype == torch.float64
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert layer_adapter(*maps, 2.0).dtype == torch.float64


# --- Bad input -----------------------------------------------------------------------------------------------------

MAPS = rand(6, 3, 4, 4, seed=1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (class_soft_matrix, (LOGITS, LABELS, 0.0, 4), "temperature must be a finite number above 0, got 0.0"),
        (
            class_soft_matrix,
            (LOGITS, LABELS, 1.0, 5),
            "num_classes must be the 4 columns of teacher_logits, got 5",
        ),
        (class_soft_matrix, (LOGITS, LABELS + 2, 1.0, 4), "labels must be from 0 to 3, got 4"),
        (class_soft_matrix, (LOGITS, LABELS - 1, 1.0, 4), "labels must be from 0 to 3, got -1"),
        (class_soft_matrix, (LOGITS, LABELS[:5], 1.0, 4), r"labels must be torch.int64 .* \(8,\)"),
        (class_soft_matrix, (LOGITS / 0, LABELS, 1.0, 4), "teacher_logits must hold finite numbers"),
        (class_soft_matrix, (LOGITS[0], LABELS, 1.0, 4), r"teacher_logits must have shape \(N, C\)"),
        (
            softmax_jacobian,
            (LOGITS, torch.tensor(0.0)),
            "temperature must be a finite number above 0, got 0.0",
        ),
        (cross_entropy_matrix, (LOGITS, LABELS + 2), "labels must be classes from 0 to 3, got one .*index 4"),
        (softmax_jacobian, (LOGITS[0], 1.0), r"teacher_logits must have shape \(N, C\)"),
        (softmax_jacobian, ([1.0], 1.0), "teacher_logits must be a floating-point tensor.* got list"),
        (
            cross_entropy_matrix,
            (LOGITS.long(), LABELS),
            "student_logits must be a floating-point .* got torch.int64",
        ),
        (softmax_jacobian, (LOGITS, -1.0), "temperature must be a finite number above 0, got -1.0"),
        (cross_entropy_matrix, (LOGITS, LABELS.float()), "labels must be torch.int64"),
        (layer_soft_matrices, (MAPS, MAPS, MAPS, 0), "temperature must be a finite number above 0, got 0"),
        (
            layer_soft_matrices,
            (MAPS, MAPS[:, :2], MAPS, 1.0),
            "teacher_gradient must have the shape of teacher_act",
        ),
        (
            layer_soft_matrices,
            (MAPS, MAPS, MAPS[:5], 1.0),
            r"teacher_activation must be .* N = 5, got .*\(6, 3, 4, 4\)",
        ),
        (layer_soft_matrices, ([1.0], MAPS, MAPS, 1.0), "teacher_activation must be .* got list"),
        (layer_soft_matrices, (MAPS, [1.0], MAPS, 1.0), "teacher_gradient must be .* got list"),
        (layer_soft_matrices, (MAPS, MAPS.long(), MAPS, 1.0), "teacher_gradient must be floating .*int64"),
        (layer_soft_matrices, (MAPS[:0], MAPS[:0], MAPS[:0], 1.0), r"student_act.* N ≥ 1, got .*\(0, 3"),
        (layer_soft_matrices, (MAPS[:, :0], MAPS[:, :0], MAPS, 1.0), r"teacher_act.* got .*\(6, 0"),
        (layer_soft_matrices, (MAPS, MAPS, MAPS[:, :, 0], 1.0), r"student_activation must be .*\(6, 3, 4\)"),
        (layer_soft_matrices, (MAPS, MAPS / 0, MAPS, 1.0), "teacher_gradient must hold finite numbers"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(function, arguments, message):
    with pytest.raises(CourseError, match=message):
        function(*arguments)
