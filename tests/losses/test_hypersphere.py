"""Radius and angle: the identity that joins them, closed forms, zero vectors, what each does not see."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.losses import (
    angle_loss,
    hypersphere_split,
    magnitude_loss,
    radius_loss,
    soft_target_loss,
    spherical_soft_target_loss,
)

LOSSES = {
    "radius": radius_loss,
    "angle": angle_loss,
    "magnitude": magnitude_loss,
    "split": lambda s, t: sum(part.mean() for part in hypersphere_split(s, t)),
    "spherical": lambda s, t: spherical_soft_target_loss(s, t, 3.0),
}


def rand(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


STUDENT, TEACHER = rand(5, 4, seed=1), 2 * rand(5, 4, seed=2)
UP, RIGHT = torch.tensor([[0.0, 2.0]]), torch.tensor([[3.0, 0.0]])


def rotation(size, seed):
    return torch.linalg.qr(rand(size, size, seed=seed))[0]


def test_values_of_two_vectors_at_a_right_angle():
    """Lengths 2 and 3, so ‖·‖/√2 differ by 1/√2; the squared distance is 13 = (3 − 2)² + 2·2·3·1."""
    assert radius_loss(UP, RIGHT).item() == pytest.approx(0.5, rel=1e-6)
    assert angle_loss(UP, RIGHT).item() == pytest.approx(1.0, rel=1e-6)
    assert magnitude_loss(UP, RIGHT).item() == pytest.approx(13.0, rel=1e-6)
    assert [part.item() for part in hypersphere_split(UP, RIGHT)] == pytest.approx([1.0, 12.0], rel=1e-6)


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0.0), (60, 0.5), (90, 1.0), (180, 2.0)])
def test_angle_loss_is_one_minus_the_cosine(degrees, expected):
    turn = math.radians(degrees)
    student = torch.tensor([[5 * math.cos(turn), 5 * math.sin(turn)]], dtype=torch.float64)
    assert angle_loss(student, RIGHT.double()).item() == pytest.approx(expected, abs=1e-12)


def test_a_small_angle_is_not_rounded_away_in_float32():
    """1 − cos 1e-4 is 5e-9, below the spacing of float32 numbers near 1."""
    student = torch.tensor([[1.0, 1e-4]])
    assert angle_loss(student, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(5e-9, rel=1e-3)


numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=3)


@given(numbers, numbers)
def test_the_two_parts_sum_to_the_squared_distance(first, second):
    s, t = torch.tensor([first], dtype=torch.float64), torch.tensor([second], dtype=torch.float64)
    radius, angle = hypersphere_split(s, t)
    size = max(1e-300, (s**2).sum().item() + (t**2).sum().item())
    assert radius >= 0 <= angle
    assert abs((radius + angle - ((s - t) ** 2).sum()).item()) <= 1e-12 * size


def test_parts_are_those_of_each_example_and_higher_shapes_are_flattened():
    s, t = rand(3, 2, 4, 4, seed=3), rand(3, 2, 4, 4, seed=4)
    radius, angle = hypersphere_split(s, t)
    for i in range(3):
        r_s, r_t = s[i].norm(), t[i].norm()
        cosine = (s[i] * t[i]).sum() / (r_s * r_t)
        assert radius[i].item() == pytest.approx(((r_s - r_t) ** 2).item(), rel=1e-10)
        assert angle[i].item() == pytest.approx((2 * r_s * r_t * (1 - cosine)).item(), rel=1e-10)
    for loss in (radius_loss, angle_loss, magnitude_loss):
        assert loss(s, t) == loss(s.flatten(1), t.flatten(1))


def test_reduction_is_the_mean_over_examples():
    for loss in (radius_loss, angle_loss, magnitude_loss):
        each = [loss(s[None], t[None]).item() for s, t in zip(STUDENT, TEACHER, strict=True)]
        assert loss(STUDENT, TEACHER).item() == pytest.approx(sum(each) / 5, rel=1e-12)


def test_what_each_loss_does_not_see():
    turned, scaled = STUDENT @ rotation(4, seed=5), 7 * STUDENT
    flipped = STUDENT * torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert radius_loss(turned, TEACHER).item() == pytest.approx(
        radius_loss(STUDENT, TEACHER).item(), rel=1e-10
    )
    assert angle_loss(scaled, TEACHER).item() == pytest.approx(angle_loss(STUDENT, TEACHER).item(), rel=1e-10)
    assert magnitude_loss(flipped, TEACHER).item() == pytest.approx(
        magnitude_loss(STUDENT, TEACHER).item(), rel=1e-12
    )
    # And each sees what another one does not.
    assert angle_loss(turned, TEACHER) != pytest.approx(angle_loss(STUDENT, TEACHER).item(), rel=1e-3)
    assert radius_loss(scaled, TEACHER) != pytest.approx(radius_loss(STUDENT, TEACHER).item(), rel=1e-3)


def test_spaces_of_different_size_are_compared_per_dimension():
    """All ones have radius √d, so that the loss is 0 whatever the two dimensions are."""
    assert radius_loss(torch.ones(2, 9), torch.ones(2, 400)).item() == pytest.approx(0, abs=1e-12)
    assert radius_loss(2 * torch.ones(2, 9), torch.ones(2, 400)).item() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_float64_finite_differences(name):
    student = STUDENT.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name](student, TEACHER), student)
    step = 1e-6
    for i in range(5):
        for j in range(4):
            bump = torch.zeros(5, 4, dtype=torch.float64)
            bump[i, j] = step
            change = LOSSES[name](STUDENT + bump, TEACHER) - LOSSES[name](STUDENT - bump, TEACHER)
            assert gradient[i, j].item() == pytest.approx(change.item() / (2 * step), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("both", [False, True])
def test_zero_vectors_have_finite_values_and_gradients(name, both):
    student = torch.zeros(2, 4, requires_grad=True)
    loss = LOSSES[name](student, torch.zeros(2, 4) if both else TEACHER[:2].float())
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad.abs().max() < 100


def test_a_zero_vector_counts_as_at_a_right_angle_to_another():
    assert angle_loss(torch.zeros(1, 2), RIGHT).item() == 1
    assert angle_loss(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_equality_costs_nothing(name):
    assert LOSSES[name](TEACHER, TEACHER).item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    student, teacher = (50 * each.float() for each in (STUDENT, TEACHER))
    half = LOSSES[name](student.to(dtype), teacher.to(dtype))
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(LOSSES[name](student, teacher).item(), rel=0.05)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_values_stay_finite(name):
    student = torch.tensor([[1e4, -1e4, 0.0], [1e-20, 0.0, 0.0]], requires_grad=True)
    loss = LOSSES[name](student, torch.tensor([[-1e4, 1e4, 5.0], [1.0, 2.0, 3.0]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_many_at_once_are_as_one_after_another(name):
    students, teachers = rand(6, 5, 4, seed=6), rand(6, 5, 4, seed=7)
    together = torch.vmap(LOSSES[name])(students, teachers)
    alone = torch.stack([LOSSES[name](s, t) for s, t in zip(students, teachers, strict=True)])
    assert torch.allclose(together, alone, rtol=1e-12)


def test_spherical_soft_targets_are_soft_targets_of_logits_on_the_teachers_sphere():
    s, t = (each - each.mean(dim=1, keepdim=True) for each in (STUDENT, TEACHER))
    radius = t.norm(dim=1).mean()
    scaled = [radius * each / each.norm(dim=1, keepdim=True) for each in (s, t)]
    expected = soft_target_loss(*scaled, 3.0)
    assert spherical_soft_target_loss(STUDENT, TEACHER, 3.0).item() == pytest.approx(
        expected.item(), rel=1e-12
    )
    # The size and the shift of the student's logits make no difference.
    moved = spherical_soft_target_loss(9 * STUDENT + 4, TEACHER, 3.0)
    assert moved.item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (
            radius_loss,
            (STUDENT, TEACHER[:3]),
            "teacher must have 5 examples like student, got 3",
        ),
        (
            angle_loss,
            (STUDENT, TEACHER[:, :3]),
            "teacher must have 4 numbers for each example like student, got 3",
        ),
        (
            magnitude_loss,
            (STUDENT.long(), TEACHER),
            r"student must be a floating-point tensor .* got torch.int64",
        ),
        (hypersphere_split, (STUDENT, None), r"teacher must be a floating-point tensor .* got NoneType"),
        (
            radius_loss,
            (STUDENT[:0], TEACHER[:0]),
            r"student must have shape .* at least one example .* got \(0, 4\)",
        ),
        (radius_loss, (STUDENT[:, 0], TEACHER), r"student must have shape .* got \(5,\)"),
        (
            spherical_soft_target_loss,
            (STUDENT, TEACHER, 0.0),
            "temperature must be a finite number above 0, got 0.0",
        ),
        (spherical_soft_target_loss, (STUDENT, TEACHER[:, :3], 1.0), "teacher_logits must have the shape"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(loss, arguments, message):
    with pytest.raises(CourseError, match=message):
        loss(*arguments)


@pytest.mark.parametrize("size", [1e-37, 1e-20, 1e20, 1e37])
def test_lengths_whose_squares_leave_float32_have_the_same_angles(size):
    student, teacher = STUDENT.float().requires_grad_(), TEACHER.float()
    wanted, (slope,) = (
        angle_loss(student, teacher),
        torch.autograd.grad(angle_loss(student, teacher), student),
    )
    scaled = (student.detach() * size).requires_grad_()
    for found in (
        angle_loss(scaled, teacher),
        angle_loss(scaled, teacher * size),
        angle_loss(teacher, scaled),
    ):
        torch.testing.assert_close(found, wanted)
    (found,) = torch.autograd.grad(angle_loss(scaled, teacher), scaled)
    torch.testing.assert_close(found * size, slope, rtol=1e-4, atol=1e-6)
    soft = spherical_soft_target_loss(student, teacher, 2.0)
    torch.testing.assert_close(spherical_soft_target_loss(scaled, teacher, 2.0), soft)


def test_a_split_of_vectors_whose_squares_leave_float32():
    """Only the squared difference is asked for, and that fits: 1e25 · 1e-7, squared."""
    student = STUDENT.float() * 1e25
    teacher = student * (1 + 4e-7 * rand(5, 4, seed=3).float())
    found, wanted = hypersphere_split(student, teacher), hypersphere_split(student.double(), teacher.double())
    for part, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(part.double(), exact, rtol=1e-4, atol=0)


def test_rows_of_very_different_lengths_stand_beside_each_other():
    sizes = torch.tensor([1e-25, 1.0, 1e25, 1e-12, 1e12])[:, None]
    student, teacher = STUDENT.float(), TEACHER.float()
    torch.testing.assert_close(angle_loss(student * sizes, teacher), angle_loss(student, teacher))
    torch.testing.assert_close(angle_loss(student, teacher * sizes), angle_loss(student, teacher))
    sizes = torch.tensor([1e-18, 1.0, 1e18, 1e-12, 1e12])[:, None]
    found = hypersphere_split(student * sizes, teacher * sizes)
    wanted = hypersphere_split((student * sizes).double(), (teacher * sizes).double())
    for part, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(part.double(), exact, rtol=1e-3, atol=0)


def test_the_largest_numbers_there_are_have_an_angle():
    for dtype in (torch.float32, torch.float64):
        largest = torch.finfo(dtype).max
        student = torch.tensor([[largest, 0.0], [largest / 2, -largest / 2]], dtype=dtype)
        teacher = torch.tensor([[0.0, largest], [1.0, -1.0]], dtype=dtype)
        assert angle_loss(student, teacher).item() == pytest.approx(0.5, rel=1e-6)  # 1 and 0


def test_equal_vectors_are_not_split_however_long_they_are():
    for size in (1e-30, 1e30):
        same = STUDENT.float() * size
        assert [part.tolist() for part in hypersphere_split(same, same)] == [[0.0] * 5] * 2


def test_a_radius_whose_square_leaves_float32():
    far = torch.tensor([[3e25, 4e25]])
    assert radius_loss(far, far.flip(1)).item() == 0
    small = torch.tensor([[3e-25, 4e-25]], requires_grad=True)
    (slope,) = torch.autograd.grad(radius_loss(small, torch.tensor([[1.0, 1.0]])), small)
    # 2 (r/√2 − 1) z/(r √2) with r = 5e-25
    assert slope[0].tolist() == pytest.approx([-2 * 0.6 / 2**0.5, -2 * 0.8 / 2**0.5], rel=1e-5)
