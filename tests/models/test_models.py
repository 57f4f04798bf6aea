"""The networks' shapes and sizes, and reading activations out of any module."""

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.models import Activations, big_mlp, cnn_teacher, mlp, small_mlp


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("build", [big_mlp, small_mlp, cnn_teacher])
@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 10), ((3, 32, 32), 7)])
def test_logits_have_one_column_per_class(build, shape, classes):
    assert build(shape, classes)(torch.zeros(2, *shape)).shape == (2, classes)


def test_parameter_counts_by_hand():
    dense = lambda i, o: i * o + o  # noqa: E731
    conv = lambda i, o: 9 * i * o + o  # noqa: E731
    assert parameters(small_mlp()) == dense(64, 16) + dense(16, 16) + dense(16, 10) == 1482
    assert parameters(big_mlp()) == dense(64, 512) + 2 * dense(512, 512) + dense(512, 10)
    assert parameters(cnn_teacher()) == (
        conv(1, 32) + conv(32, 64) + conv(64, 64) + dense(64 * 16, 128) + dense(128, 10)
    )


def test_an_example_is_answered_alone():
    torch.manual_seed(0)
    model, batch = cnn_teacher().train(), torch.randn(4, 1, 8, 8)
    assert torch.allclose(model(batch)[:1], model(batch[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mlp((1, 8, 8), (), 10), r"hidden .* got \(1, 8, 8\), \(\) and 10"),
        (lambda: mlp((1, 8, 8), (16, 0), 10), "must be positive integers"),
        (lambda: small_mlp(num_classes=1), "num_classes ≥ 2"),
        (lambda: cnn_teacher((1, 7, 8)), r"even H and W, got \(1, 7, 8\)"),
        (lambda: cnn_teacher((8, 8)), r"\(C, H, W\)"),
        (lambda: cnn_teacher(num_classes=1), "num_classes must be at least 2, got 1"),
    ],
)
def test_impossible_sizes_are_refused(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_activations_are_the_layers_outputs_and_part_of_the_graph():
    torch.manual_seed(0)
    model, inputs = small_mlp(), torch.randn(3, 1, 8, 8)
    with Activations(model, ["relu1", "logits"]) as z:
        logits = model(inputs)
    expected = torch.relu(inputs.flatten(1) @ model.linear1.weight.T + model.linear1.bias)
    assert torch.allclose(z["relu1"], expected, atol=1e-6)
    assert z["logits"] is logits
    # ∂F/∂relu1, by hand: back through logits, relu2 and linear2.
    (gradient,) = torch.autograd.grad(logits[:, 3].sum(), z["relu1"])
    open_units = (model.linear2(z["relu1"]) > 0).float()
    assert torch.allclose(gradient, (model.logits.weight[3] * open_units) @ model.linear2.weight, atol=1e-6)
    assert list(z) == ["relu1", "logits"]
    assert len(z) == 2


def test_activations_work_on_stacked_students():
    from torch.func import functional_call, stack_module_state

    torch.manual_seed(0)
    models, inputs = [small_mlp() for _ in range(3)], torch.randn(2, 1, 8, 8)
    parameters, _ = stack_module_state(models)

    def relu1(weights):
        with Activations(models[0], ["relu1"]) as z:
            functional_call(models[0], weights, (inputs,))
        return z["relu1"]

    together = torch.vmap(relu1)(parameters)
    alone = torch.stack([model.relu1(model.linear1(inputs.flatten(1))) for model in models])
    assert torch.allclose(together, alone, atol=1e-6)


def test_hooks_are_removed_also_after_an_error():
    model = small_mlp()
    with pytest.raises(RuntimeError), Activations(model, ["relu1"]):
        model(torch.zeros(1, 5))
    assert not model.relu1._forward_hooks


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["relu9"], "layers names 'relu9'.* it has: .*relu1"),
        (["conv"], "overwritten by a later in-place operation"),
        (["pair"], "'pair' returns tuple"),
        (["unused"], "no forward pass"),
        ("conv", "must be a list of names"),
    ],
)
def test_activations_that_cannot_be_read(layers, words):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu1, self.pair, self.unused = (
                nn.Linear(2, 2),
                nn.ReLU(inplace=True),
                Pair(),
                nn.ReLU(),
            )

        def forward(self, x):
            return self.pair(self.relu1(self.conv(x)))[0]

    model = Network()
    with pytest.raises(CourseError, match=words):  # noqa: PT012
        with Activations(model, layers) as z:
            model(torch.randn(1, 2))
        z[layers[0]]


def test_asking_for_a_layer_that_was_not_named():
    with Activations(small_mlp(), ["relu1"]) as z, pytest.raises(CourseError, match="recorded are: relu1"):
        z["relu2"]
