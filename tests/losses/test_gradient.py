"""Losses of gradients against a closed form: for one hidden tanh layer J = W₂ diag(1 − h²) W₁ is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.errors import CourseError
from course_lib.losses import (
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    soft_gradients,
    teacher_gradient_norm,
)
from course_lib.matrices import cross_entropy_matrix
from course_lib.models import Activations, cnn_teacher

N, D, H, C, M = 6, 5, 4, 3, 2


def rand(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Net(nn.Module):
    """Linear, tanh, linear, in float64."""

    def __init__(self, seed=0):
        super().__init__()
        self.first, self.tanh, self.last = nn.Linear(D, H), nn.Tanh(), nn.Linear(H, C)
        self.double()
        for place, parameter in enumerate(self.parameters()):
            parameter.data = rand(*parameter.shape, seed=10 * seed + place) / 2

    def forward(self, x):
        return self.last(self.tanh(self.first(x)))


def passed(net, x):
    """Logits, the input and the hidden layer, all in one graph."""
    x = x.clone().requires_grad_()
    with Activations(net, ["tanh"]) as z:
        logits = net(x)
    return logits, x, z["tanh"]


def jacobians(net, x):
    """∂F/∂x (N, C, D) and ∂F/∂h (N, C, H), written out."""
    h = torch.tanh(x @ net.first.weight.T + net.first.bias)
    by_hidden = net.last.weight.expand(len(x), -1, -1)
    by_input = torch.einsum("ch,nh,hd->ncd", net.last.weight, 1 - h**2, net.first.weight)
    return by_input, by_hidden


def products(net, x, s):
    """JᵀS for both, (N, D, m) and (N, H, m), for S of shape (C, m) or (N, C, m)."""
    s = s.expand(len(x), -1, -1)
    return [torch.einsum("ncd,ncm->ndm", jacobian, s) for jacobian in jacobians(net, x)]


X, S, S_EACH = rand(N, D, seed=1), rand(C, M, seed=2), rand(N, C, M, seed=3)
TARGETS = rand(N, M, D, seed=4)


def literal(net, s=S):
    return sum((product**2).sum() for product in products(net, X, s)) / N


def matching(net, s=S):
    return ((products(net, X, s)[0] - TARGETS.transpose(1, 2)) ** 2).sum() / N


def penalty(net, s=S, targets=(0.7, 1.3), eps=1e-12):
    norms = [((product**2).sum((1, 2)) + eps).sqrt() for product in products(net, X, s)]
    return sum(((norm - target) ** 2).mean() for norm, target in zip(norms, targets, strict=True)) / 2


def ours(name, net, s=S, **settings):
    logits, x, h = passed(net, X)
    if name == "literal":
        return gradient_loss(logits, [x, h], s, **settings)
    if name == "matching":
        return gradient_matching_loss(logits, x, TARGETS, s, **settings)
    return gradient_penalty_loss(logits, [x, h], s, [0.7, 1.3], **settings)


CLOSED = {"literal": literal, "matching": matching, "penalty": penalty}


@pytest.mark.parametrize("s", [S, S_EACH, S[:, :1]], ids=["shared", "each", "one column"])
@pytest.mark.parametrize("name", CLOSED)
def test_value_is_the_closed_form(name, s):
    if name == "matching" and s.shape[-1] == 1:
        logits, x, _ = passed(Net(), X)
        expected = ((products(Net(), X, s)[0] - TARGETS[:, :1].transpose(1, 2)) ** 2).sum() / N
        assert gradient_matching_loss(logits, x, TARGETS[:, :1], s).item() == pytest.approx(
            expected.item(), rel=1e-12
        )
        return
    assert ours(name, Net(), s).item() == pytest.approx(CLOSED[name](Net(), s).item(), rel=1e-12)


@pytest.mark.parametrize("name", CLOSED)
def test_gradients_of_the_weights_against_float64_finite_differences(name):
    """The differences are taken of the closed form, so nothing is compared with itself."""
    net = Net()
    ours(name, net).backward()
    step = 1e-6
    for parameter in net.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        flat = parameter.data.view(-1)
        for place in range(flat.numel()):
            value = flat[place].item()
            with torch.no_grad():
                flat[place] = value + step
                above = CLOSED[name](net).item()
                flat[place] = value - step
                below = CLOSED[name](net).item()
                flat[place] = value
            assert gradient.view(-1)[place].item() == pytest.approx(
                (above - below) / (2 * step), rel=1e-5, abs=1e-7
            )


def test_soft_gradients_are_jts_of_every_example():
    net = Net()
    logits, x, h = passed(net, X)
    one, (by_input, by_hidden) = soft_gradients(logits, x, S), soft_gradients(logits, [x, h], S_EACH)
    expected = products(net, X, S_EACH)
    assert torch.allclose(one, products(net, X, S)[0].transpose(1, 2), rtol=1e-12)
    assert torch.allclose(by_input, expected[0].transpose(1, 2), rtol=1e-12)
    assert torch.allclose(by_hidden, expected[1].transpose(1, 2), rtol=1e-12)
    assert not one.requires_grad
    assert soft_gradients(logits, x, S, create_graph=True).requires_grad


def test_one_column_of_p_minus_onehot_is_the_gradient_of_the_cross_entropy():
    net, labels = Net(), torch.tensor([0, 1, 2, 0, 1, 2])
    logits, x, _ = passed(net, X)
    s = (logits.softmax(1) - nn.functional.one_hot(labels, C)).detach()[:, :, None]
    (expected,) = torch.autograd.grad(
        nn.functional.cross_entropy(logits, labels, reduction="sum"), x, retain_graph=True
    )
    assert torch.allclose(soft_gradients(logits, x, s)[:, 0], expected, rtol=1e-10)


LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def squared_gradient_of_the_cross_entropy(net, beliefs=None):
    """1/N Σ ‖J(x)ᵀ (p − onehot)‖² in closed form; ``beliefs`` are another network's p, which stay as they are."""
    h = torch.tanh(X @ net.first.weight.T + net.first.bias)
    logits = h @ net.last.weight.T + net.last.bias
    p = logits.softmax(1) if beliefs is None else beliefs
    column = (p - nn.functional.one_hot(LABELS, C))[:, :, None]
    return (products(net, X, column)[0] ** 2).sum() / N


def by_one_weight(loss, net, step=1e-6):
    """Central difference of a loss by one weight of the first layer."""
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            net.first.weight[0, 0] += sign * step
            values.append(loss(net).item())
            net.first.weight[0, 0] -= sign * step
    return (values[0] - values[1]) / (2 * step)


def test_double_backpropagation_has_the_same_value_and_only_with_s_in_the_graph_the_same_gradient():
    found = {}
    for kept in (True, False):
        net = Net()
        logits, x, _ = passed(net, X)
        loss = gradient_loss(logits, x, cross_entropy_matrix(logits if kept else logits.detach(), LABELS))
        loss.backward()
        found[kept] = loss.item(), net.first.weight.grad[0, 0].item()
    net = Net()
    beliefs = net(X).softmax(1).detach()
    value = squared_gradient_of_the_cross_entropy(net).item()
    assert found[True][0] == pytest.approx(value, rel=1e-12)
    assert found[False][0] == pytest.approx(value, rel=1e-12)
    double = by_one_weight(squared_gradient_of_the_cross_entropy, net)
    detached = by_one_weight(lambda each: squared_gradient_of_the_cross_entropy(each, beliefs), net)
    assert found[True][1] == pytest.approx(double, rel=1e-6)
    assert found[False][1] == pytest.approx(detached, rel=1e-6)
    assert abs(double - detached) > 0.1 * abs(double)


def test_the_identity_as_s_is_jacobian_regularisation():
    """Hoffman, Roberts and Yaida 2019: the squared norm of the whole Jacobian."""
    net = Net()
    logits, x, _ = passed(net, X)
    expected = sum(torch.autograd.functional.jacobian(net, row).square().sum() for row in X) / N
    assert gradient_loss(logits, x, torch.eye(C, dtype=torch.float64)).item() == pytest.approx(
        expected.item(), rel=1e-12
    )


@pytest.mark.parametrize("name", ["literal", "matching"])
def test_s_counts_through_s_times_its_transpose_alone(name):
    """Turning the columns, S Q with Q orthogonal, changes nothing: the loss is tr(JᵀSSᵀJ)."""
    turn = torch.linalg.qr(rand(C, C, seed=7)).Q
    square = rand(C, C, seed=8)

    def loss(s):
        logits, x, _ = passed(Net(), X)
        if name == "literal":
            return gradient_loss(logits, x, s).item()
        other, seen, _ = passed(Net(seed=1), X)
        return gradient_matching_loss(logits, x, soft_gradients(other, seen, s), s).item()

    assert loss(square @ turn) == pytest.approx(loss(square), rel=1e-10)
    assert loss(turn @ square) != pytest.approx(loss(square), rel=1e-2)


# --- Noise on the inputs ---------------------------------------------------------------------------------------------


def mean_distance_under_noise(student, teacher, sigma):
    """Mean of ‖F(x + ε) − G(x + ε)‖² over ε = ±σ√d along each axis: covariance σ²I, and no third moments."""
    steps = sigma * D**0.5 * torch.cat([torch.eye(D), -torch.eye(D)]).double()  # (2d, d)
    x = (X[:, None] + steps).flatten(0, 1)
    with torch.no_grad():
        return (student(x) - teacher(x)).square().sum(1).view(N, -1).mean(1)  # (N,)


def distances(student, teacher):
    """Squared distance of the logits and of the Jacobians for every example, (N,) each."""
    with torch.no_grad():
        of_logits = (student(X) - teacher(X)).square().sum(1)
    pairs = [
        [torch.autograd.functional.jacobian(net, row) for row in X] for net in (student, teacher)
    ]  # N × (C, d)
    of_jacobians = torch.stack([(a - b).square().sum() for a, b in zip(*pairs, strict=True)])
    return of_logits, of_jacobians


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_noise_adds_the_matching_loss_where_networks_are_linear_in_pieces(seed):
    """Srinivas and Fleuret 2018: the mean distance grows by σ² ‖J − J_big‖², exactly, once σ stays within a piece."""
    torch.manual_seed(seed)
    nets = [nn.Sequential(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, C)).double() for _ in range(2)]
    before, _ = distances(*nets)
    sigma = 1e-5
    grown = (mean_distance_under_noise(*nets, sigma) - before) / sigma**2
    bends = torch.stack([net[0](X).abs().amin(1) for net in nets]).amin(0)
    far = bends > 1e-3  # here no step crosses from one piece to the next
    assert far.any()
    x, unit = X[far].clone().requires_grad_(), torch.eye(C, dtype=torch.float64)
    student, teacher = (net(x) for net in nets)
    matching = gradient_matching_loss(student, x, soft_gradients(teacher, x, unit), unit)
    assert grown[far].mean().item() == pytest.approx(matching.item(), rel=1e-3, abs=1e-4)


def test_smooth_networks_add_a_term_with_second_derivatives():
    """σ² (‖J − J_big‖² + ⟨F − G, trace of ∂²(F − G)/∂x²⟩): the second summand is what matching leaves out."""
    student, teacher = Net(seed=1), Net(seed=2)
    of_logits, of_jacobians = distances(student, teacher)
    curved = torch.zeros(N, dtype=torch.float64)
    for place, row in enumerate(X):
        for c in range(C):
            hessians = [
                torch.autograd.functional.hessian(lambda x, net=net, c=c: net(x)[c], row)
                for net in (student, teacher)
            ]
            gap = (student(row) - teacher(row))[c].detach()
            curved[place] += gap * (hessians[0] - hessians[1]).trace()
    errors = []
    for sigma in (0.1, 0.01):
        grown = (mean_distance_under_noise(student, teacher, sigma) - of_logits) / sigma**2
        errors.append((grown - of_jacobians - curved).abs().max().item())
    assert errors[1] < errors[0] / 50  # of second order in σ
    assert curved.abs().max() > 100 * errors[1]


@pytest.mark.parametrize("name", ["literal", "matching"])
def test_hutchinson_is_right_in_expectation(name):
    generator = torch.Generator().manual_seed(0)
    net = Net()
    draws = torch.stack([ours(name, net, estimator="hutchinson", generator=generator) for _ in range(2000)])
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - CLOSED[name](net)) < 4 * error
    assert error < 0.05 * draws.mean()


@pytest.mark.parametrize("name", ["literal", "matching"])
def test_many_probes_have_a_smaller_spread_and_all_sign_vectors_are_exact(name):
    net = Net()

    def spread(probes):
        generator = torch.Generator().manual_seed(1)
        draws = [
            ours(name, net, estimator="hutchinson", probes=probes, generator=generator).item()
            for _ in range(300)
        ]
        return torch.tensor(draws).var().item()

    assert spread(1) / spread(8) == pytest.approx(8, rel=0.5)
    # With one column a sign is all there is to draw, so one probe is exact.
    if name == "literal":
        one = ours(name, net, S[:, :1], estimator="hutchinson")
        assert one.item() == pytest.approx(literal(net, S[:, :1]).item(), rel=1e-12)


def test_the_same_generator_draws_the_same_probes():
    first, second = (
        ours("literal", Net(), estimator="hutchinson", generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert first == second


def test_no_gradient_flows_to_the_teacher():
    targets = TARGETS.clone().requires_grad_()
    logits, x, _ = passed(Net(), X)
    gradient_matching_loss(logits, x, targets, S).backward()
    assert targets.grad is None


def test_matching_oneself_costs_nothing():
    logits, x, _ = passed(Net(), X)
    assert gradient_matching_loss(logits, x, soft_gradients(logits, x, S), S).item() == pytest.approx(
        0, abs=1e-20
    )


def test_relu_networks_learn_through_the_product_though_its_second_derivative_is_zero():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, C)).double()
    x = X.clone().requires_grad_()
    gradient_loss(net(x), x, S).backward()
    assert net[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    net = Net().to(dtype)
    logits, x, h = passed(net, X.to(dtype))
    for loss in (gradient_loss(logits, [x, h], S), gradient_penalty_loss(logits, [x, h], S, [0.7, 1.3])):
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
    assert gradient_loss(logits, [x, h], S).item() == pytest.approx(literal(Net()).item(), rel=0.1)


def test_under_bf16_autocast_value_and_gradient_are_near_those_of_float32():
    def trained(enabled):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))
        x, s = rand(32, 16, seed=1).float().requires_grad_(), rand(10, 10, seed=2).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = gradient_loss(net(x), x, s) + gradient_penalty_loss(net(x), x, s, 1.0)
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    (half, half_gradient), (full, full_gradient) = trained(True), trained(False)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.03)
    assert torch.cosine_similarity(half_gradient, full_gradient, dim=0) > 0.995


# --- The penalty ---------------------------------------------------------------------------------------------------


def test_one_column_and_target_one_at_the_input_is_the_penalty_of_wgan_gp():
    net = Net()
    logits, x, _ = passed(net, X)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x, retain_graph=True)
    expected = ((gradient.norm(dim=1) - 1) ** 2).mean()
    one = torch.eye(C, dtype=torch.float64)[:, :1]
    assert gradient_penalty_loss(logits, x, one, 1.0).item() == pytest.approx(expected.item(), rel=1e-9)


def test_a_dead_layer_gives_a_finite_gradient():
    net = nn.Sequential(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, C))
    nn.init.constant_(net[0].bias, -100.0)
    x = X.float().requires_grad_()
    loss = gradient_penalty_loss(net(x), x, S.float(), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_targets_may_be_one_number_a_list_or_a_tensor():
    values = []
    for target in (0.7, torch.tensor(0.7), [0.7, 0.7], torch.tensor([0.7, 0.7])):
        logits, x, h = passed(Net(), X)
        values.append(gradient_penalty_loss(logits, [x, h], S, target).item())
    assert values == pytest.approx([penalty(Net(), targets=(0.7, 0.7)).item()] * 4, rel=1e-6)


def test_teacher_gradient_norm_is_the_mean_norm_per_layer():
    net = Net()
    logits, x, h = passed(net, X)
    expected = [(product**2).sum((1, 2)).sqrt().mean().item() for product in products(net, X, S)]
    found = teacher_gradient_norm(logits, [x, h], S)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert not found.requires_grad
    assert teacher_gradient_norm(logits, x, S).shape == (1,)


# --- Larger networks -----------------------------------------------------------------------------------------------


def test_convolutions_and_pooling_agree_with_a_loop_over_columns():
    torch.manual_seed(0)
    net = cnn_teacher().double()
    x, s = rand(3, 1, 8, 8, seed=1).requires_grad_(), rand(10, 4, seed=2)
    with Activations(net, ["relu1", "pool"]) as z:
        logits = net(x)
    layers = [x, z["relu1"], z["pool"]]
    expected = 0.0
    for column in s.T:
        gradients = torch.autograd.grad((logits @ column).sum(), layers, retain_graph=True)
        expected += sum((gradient**2).sum().item() for gradient in gradients) / len(x)
    assert gradient_loss(logits, layers, s).item() == pytest.approx(expected, rel=1e-10)


def test_a_deep_graph_with_shortcuts_is_walked():
    weight = torch.eye(3, dtype=torch.float64, requires_grad=True)
    x = rand(2, 3, seed=1).requires_grad_()
    z = x
    for _ in range(3000):
        z = z + 1e-4 * z @ weight
    assert torch.isfinite(gradient_loss(z, x, torch.eye(3, dtype=torch.float64)))


# --- Bad input -----------------------------------------------------------------------------------------------------


def good():
    logits, x, h = passed(Net(), X)
    return {"student_logits": logits, "activations": [x, h], "soft_matrix": S}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"soft_matrix": S.T},
            r"soft_matrix must have shape \(C, m\) or \(N, C, m\) with N = 6 and C = 3, got \(2, 3\)",
        ),
        ({"soft_matrix": S_EACH[:5]}, r"got \(5, 3, 2\)"),
        ({"soft_matrix": S[:, :0]}, r"got \(3, 0\)"),
        ({"soft_matrix": S.long()}, "floating-point tensor .* got torch.int64 tensor"),
        ({"soft_matrix": None}, "got NoneType"),
        ({"soft_matrix": S * float("nan")}, "soft_matrix must hold finite numbers, got nan"),
        ({"activations": []}, "at least one tensor"),
        ({"activations": [X]}, "not part of their graph: read it with"),
        ({"activations": ["relu1"]}, "must be tensors, got str"),
        (
            {"activations": [rand(5, 2, seed=0).requires_grad_()]},
            r"6 examples like student_logits, got shape \(5, 2\)",
        ),
        (
            {"activations": [rand(6, 2, seed=0).requires_grad_()]},
            r"got shape \(6, 2\) that is not part of their graph",
        ),
        ({"estimator": "exakt"}, "estimator must be one of exact, hutchinson, got 'exakt'"),
        ({"estimator": "hutchinson", "probes": 0}, "probes must be an integer of at least 1, got 0"),
        ({"probes": 3}, "probes belongs to estimator='hutchinson'"),
        ({"student_logits": rand(N, C, seed=0)}, "autograd graph, got a tensor without one"),
        ({"student_logits": X[:, 0]}, r"student_logits must have shape \(N, C\)"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(change, message):
    with pytest.raises(CourseError, match=message):
        gradient_loss(**{**good(), **change})


def test_nan_in_the_inputs_is_named():
    net, x = Net(), X.clone()
    x[2, 1] = float("nan")
    x.requires_grad_()
    for loss in (
        lambda z: gradient_loss(z, x, S),
        lambda z: gradient_matching_loss(z, x, TARGETS, S),
        lambda z: gradient_penalty_loss(z, x, S, 1.0),
    ):
        with pytest.raises(
            CourseError, match="student_logits must hold finite numbers, got nan: look for bad values"
        ):
            loss(net(x))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (TARGETS[:, :1], r"teacher_gradients must have shape .* = \(6, 2, 5\), got \(6, 1, 5\)"),
        (TARGETS.transpose(0, 1), r"got \(2, 6, 5\)"),
        (None, "teacher_gradients must be a floating-point tensor .* got NoneType"),
        (TARGETS / 0, "teacher_gradients must hold finite numbers"),
    ],
)
def test_teacher_gradients_must_fit(targets, message):
    logits, x, _ = passed(Net(), X)
    with pytest.raises(CourseError, match=message):
        gradient_matching_loss(logits, x, targets, S)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_norm": -1.0}, r"target_norm must be finite and at least 0, got -1.0"),
        ({"target_norm": float("nan")}, "target_norm must be finite"),
        ({"target_norm": torch.tensor([1.0, -1.0])}, r"target_norm must be finite .* got \[1.0, -1.0\]"),
        ({"target_norm": torch.tensor(float("inf"))}, "target_norm must be finite .* got inf"),
        ({"target_norm": True}, "target_norm must be a number or one per layer, got True"),
        ({"target_norm": 1.0, "eps": torch.tensor(0.0)}, "eps must be a finite number above 0, got 0.0"),
        ({"target_norm": [1.0, float("inf")]}, "target_norm must be finite"),
        ({"target_norm": [1.0, 2.0, 3.0]}, r"one number or one per layer \(2\), got shape \(3,\)"),
        ({"target_norm": "teacher"}, "target_norm must be a number or one per layer, got 'teacher'"),
        ({"target_norm": 1.0, "eps": 0.0}, "eps must be a finite number above 0, got 0.0"),
    ],
)
def test_targets_and_eps_must_make_sense(settings, message):
    with pytest.raises(CourseError, match=message):
        gradient_penalty_loss(**good(), **settings)


class Stepping(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.first, self.last, self.step = nn.Linear(D, H).double(), nn.Linear(H, C).double(), step

    def forward(self, x):
        return self.last(self.step(self.first(x)))


@pytest.mark.parametrize("step", [torch.sign, torch.round, torch.floor, torch.ceil, torch.trunc])
def test_a_step_function_below_the_logits_is_refused(step):
    x = X.clone().requires_grad_()
    with pytest.raises(CourseError, match=f"step function \\({step.__name__}\\) .* use a differentiable one"):
        gradient_loss(Stepping(step)(x), x, S)


def test_a_step_function_that_passes_gradients_straight_through_is_fine():
    x = X.clone().requires_grad_()
    net = Stepping(lambda z: z + (z.round() - z).detach())
    assert gradient_loss(net(x), x, S) > 0


def test_batch_norm_is_refused_in_train_mode_between_activation_and_logits_only():
    net = nn.Sequential(nn.Linear(D, H), nn.BatchNorm1d(H), nn.ReLU(), nn.Linear(H, C)).double()
    x = X.clone().requires_grad_()
    with pytest.raises(CourseError, match=r"batch norm in train mode .* call model\.eval"):
        gradient_loss(net(x), x, S)
    with Activations(net, ["2"]) as z:
        logits = net(x)
    assert gradient_loss(logits, z["2"], S) > 0
    net.eval()
    assert gradient_loss(net(x), x, S) > 0


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(2), nn.GroupNorm(1, 2)], ids=["instance", "group"])
def test_norms_of_each_example_by_itself_are_fine(norm):
    """Instance norm is a batch norm to autograd, and cannot be differentiated for many columns at once."""
    torch.manual_seed(0)
    net = nn.Sequential(norm, nn.Flatten(), nn.Linear(32, C)).double()
    x = rand(N, 2, 4, 4, seed=1).requires_grad_()
    logits = net(x)
    expected = (
        sum((torch.autograd.grad((logits @ s).sum(), x, retain_graph=True)[0] ** 2).sum() for s in S.T) / N
    )
    assert gradient_loss(logits, x, S).item() == pytest.approx(expected.item(), rel=1e-10)


def test_batch_norm_in_train_mode_is_fine_for_one_example():
    """It then depends on no other."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).double()
    x = rand(1, 1, 4, 4, seed=1).requires_grad_()
    assert gradient_loss(network(x), x, torch.eye(3, dtype=torch.float64)) > 0
    two = x.expand(2, -1, -1, -1)
    with pytest.raises(CourseError, match="batch norm in train mode"):
        gradient_loss(network(two), two, torch.eye(3, dtype=torch.float64))
