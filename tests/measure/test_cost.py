"""The cost of a network against counts made by hand; of times only what holds on any machine."""

import sys

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.measure import Load, Timing, cost, load_curve, macs
from course_lib.models import cnn_teacher, small_mlp

COST = sys.modules["course_lib.measure.cost"]  # hidden, by name, behind the function in it
DIGIT = torch.zeros(1, 1, 8, 8)
BRIEF = 0.001  # seconds of measuring, as no test looks at the times' values


class Nested(nn.Module):
    """One layer used twice, one with parameters of its own beside its children's, a buffer, and half precision."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(3, dtype=torch.float16))

    def forward(self, inputs):
        return self.layer(self.layer(self.norm(inputs))) * self.scale[0]


class Recorder(nn.Module):
    """Notes how it is called."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.calls = []

    def forward(self, inputs):
        self.calls.append((len(inputs), self.training, torch.is_grad_enabled(), inputs.is_contiguous()))
        return self.layer(inputs)


@pytest.fixture(scope="module")
def mlp_cost():
    return cost(small_mlp(), DIGIT, batch=8, seconds=BRIEF)


def test_the_small_network_costs_what_it_does_on_paper(mlp_cost):
    weights = 64 * 16 + 16 * 16 + 16 * 10
    biases = 16 + 16 + 10
    assert mlp_cost.layers == 3
    assert mlp_cost.parameters == weights + biases == 1482
    assert mlp_cost.macs == weights
    assert mlp_cost.bytes == 4 * 1482


def test_a_convolution_multiplies_its_kernel_at_every_place_of_its_output():
    conv = nn.Conv2d(3, 5, kernel_size=3, stride=2, padding=1)  # 9×7 gives 5×4
    assert macs(conv, torch.zeros(1, 3, 9, 7)) == 5 * (3 * 3 * 3) * (5 * 4)
    groups = nn.Conv2d(4, 8, kernel_size=3, groups=2, bias=False)  # 6×6 gives 4×4
    assert macs(groups, torch.zeros(1, 4, 6, 6)) == 8 * (4 // 2 * 3 * 3) * (4 * 4)


def test_the_teacher_is_the_sum_of_its_layers():
    convolutions = 32 * 9 * 64 + 64 * 32 * 9 * 64 + 64 * 64 * 9 * 16  # output channels × kernel × places
    assert macs(cnn_teacher(), DIGIT) == convolutions + 64 * 16 * 128 + 128 * 10


def test_own_parameters_make_a_layer_buffers_take_memory_and_reuse_costs_macs_only():
    found = cost(Nested(), torch.zeros(1, 4), batch=2, seconds=BRIEF)
    assert found.layers == 3  # the linear layer, the norm, and the module with the scale
    assert found.parameters == (4 * 4 + 4) + (4 + 4) + 3
    assert found.macs == 2 * 4 * 4
    running = 4 * (4 + 4) + 8  # mean and variance in float32, one count in int64
    assert found.bytes == 4 * (4 * 4 + 4 + 4 + 4) + 2 * 3 + running


def test_times_lie_within_their_spread_and_have_units(mlp_cost):
    for timing, unit in ((mlp_cost.latency, "s"), (mlp_cost.throughput, "examples/s")):
        assert 0 < timing.low <= timing.median <= timing.high
        assert timing.unit == unit


def test_under_load_throughput_is_the_batch_over_its_latency(monkeypatch):
    class Stopwatch:
        times = (5.0, 1.0, 4.0, 2.0, 3.0)

        def __init__(self, *_, **__):
            pass

        def blocked_autorange(self, **_):
            return self

    monkeypatch.setattr(COST, "Timer", Stopwatch)
    curve = load_curve(small_mlp(), DIGIT, [12, 1])
    assert curve == [
        Load(12, Timing(3.0, 2.0, 4.0, "s"), Timing(4.0, 3.0, 6.0, "examples/s")),
        Load(1, Timing(3.0, 2.0, 4.0, "s"), Timing(1 / 3, 1 / 4, 1 / 2, "examples/s")),
    ]


def test_a_cost_has_the_latency_of_one_example_and_the_throughput_of_the_large_batch(monkeypatch):
    asked = []

    def curve(model, example, batch_sizes, *, seconds):
        asked.append((batch_sizes, seconds))
        return [
            Load(batch, Timing(batch, batch, batch, "s"), Timing(-batch, -batch, -batch, "examples/s"))
            for batch in batch_sizes
        ]

    monkeypatch.setattr(COST, "load_curve", curve)
    found = cost(small_mlp(), DIGIT, batch=32, seconds=7)
    assert (found.latency.median, found.throughput.median) == (1, -32)
    assert cost(small_mlp(), DIGIT).throughput.median == -256
    assert asked[0] == ([1, 32], 7)


def test_every_size_is_measured_with_real_batches_in_eval_mode_without_gradients():
    model = Recorder()
    load_curve(model, torch.zeros(1, 3), [5], seconds=BRIEF)
    assert set(model.calls) == {(5, False, False, True)}
    assert len(model.calls) > 3  # beyond the warm-up


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        lambda model: cost(model, DIGIT, batch=2, seconds=BRIEF),
        lambda model: macs(model, DIGIT),
        lambda model: load_curve(model, DIGIT, [1], seconds=BRIEF),
    ],
)
def test_measuring_leaves_the_mode_as_it_was(call, training):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.BatchNorm1d(64)).train(training)
    model[1].train(not training)  # a frozen part keeps its own mode
    before = model[2].running_mean.clone()
    call(model)
    assert [module.training for module in (model, *model)] == [training, training, not training, training]
    assert torch.equal(model[2].running_mean, before)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: load_curve(m, DIGIT, [1, 0]), "batch sizes must be integers of at least 1, got 0"),
        (lambda m: load_curve(m, DIGIT, [2.0]), "batch sizes must be integers of at least 1, got 2.0"),
        (lambda m: cost(m, DIGIT, batch=-1), "batch sizes must be integers of at least 1, got -1"),
        (
            lambda m: macs(m, DIGIT.expand(2, 1, 8, 8)),
            "example must be one input with its batch dimension, (1, *shape), got (2, 1, 8, 8)",
        ),
        (
            lambda m: cost(m, torch.zeros(1)),
            "example must be one input with its batch dimension, (1, *shape), got (1,)",
        ),
        (
            lambda m: load_curve(m, [0.0], [1]),
            "example must be one input with its batch dimension, (1, *shape), got list",
        ),
        (lambda m: cost(small_mlp, DIGIT), "model must be a torch.nn.Module, got function"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(call, sentence):
    with pytest.raises(CourseError) as caught:
        call(small_mlp())
    assert str(caught.value) == sentence
