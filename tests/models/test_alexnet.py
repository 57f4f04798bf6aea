"""AlexNet against torchvision's own, its small form, and dense layers as convolutions."""

import pytest
import torch
from torch import nn

from course_lib._torchvision import torchvision
from course_lib.errors import CourseError
from course_lib.models import alexnet, fully_convolutional


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_at_224_pixels_it_is_torchvisions():
    with torch.device("meta"):
        ours, theirs = alexnet(), torchvision.models.alexnet()
    assert parameters(ours) == 61_100_840
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


@pytest.mark.parametrize("side", [63, 224, 256])
def test_with_torchvisions_weights_it_gives_torchvisions_logits(side):
    # Narrow, so that the test is fast; torchvision's has no width, so its layers are made narrow here.
    ours = alexnet((3, side, side), 7, width=1 / 32).eval()
    theirs = torchvision.models.alexnet(num_classes=7)
    for mine, part in ((ours.features, theirs.features), (ours.classifier, theirs.classifier)):
        for place, layer in enumerate(mine):
            if isinstance(layer, nn.Conv2d):
                old = part[place]
                part[place] = nn.Conv2d(
                    layer.in_channels, layer.out_channels, old.kernel_size, old.stride, old.padding
                )
            elif isinstance(layer, nn.Linear):
                part[place] = nn.Linear(layer.in_features, layer.out_features)
    theirs.load_state_dict(ours.state_dict())
    images = rand(2, 3, side, side)
    torch.testing.assert_close(ours(images), theirs.eval()(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 16, 40), (3, 70, 64)])
def test_small_images_give_one_vector_of_logits(shape):
    model = alexnet(shape, 5, width=0.05)
    assert model(rand(4, *shape)).shape == (4, 5)


def test_parameters_of_the_32_pixel_form_by_hand():
    with torch.device("meta"):
        model = alexnet((3, 32, 32), 10)
    convolutions = [(3, 64, 3), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
    dense = [(256 * 4 * 4, 4096), (4096, 4096), (4096, 10)]
    expected = sum(a * b * k * k + b for a, b, k in convolutions) + sum(a * b + b for a, b in dense)
    assert parameters(model) == expected


def test_width_scales_every_layer_and_leaves_at_least_one_unit():
    model = alexnet((3, 32, 32), 10, width=0.25)
    convolutions = [layer.out_channels for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert convolutions == [16, 48, 96, 64, 64]
    assert [layer.out_features for layer in model.classifier if isinstance(layer, nn.Linear)] == [
        1024,
        1024,
        10,
    ]
    assert alexnet((1, 8, 8), 10, width=1e-9)(rand(1, 1, 8, 8)).shape == (1, 10)


def test_signals_keep_their_size_through_all_layers():
    torch.manual_seed(0)
    model = alexnet((3, 32, 32), 10, width=0.25, dropout=0)
    logits = model(rand(64, 3, 32, 32))
    assert 0.3 < logits.std().item() < 10


def test_without_dropout_the_layers_keep_their_names():
    with torch.device("meta"):
        assert (
            alexnet((3, 32, 32), 10, dropout=0).state_dict().keys()
            == alexnet((3, 32, 32)).state_dict().keys()
        )
    assert not any(
        isinstance(layer, nn.Dropout) for layer in alexnet((1, 8, 8), 10, width=0.1, dropout=0).modules()
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 16, 24), (3, 224, 224)])
def test_dense_layers_as_convolutions_give_the_same_logits(shape):
    model = alexnet(shape, 6, width=0.1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    converted = fully_convolutional(model).eval()
    images = rand(3, *shape)
    torch.testing.assert_close(converted(images), model(images), rtol=1e-5, atol=1e-5)
    assert converted.score_map(images).shape == (3, 6, 1, 1)
    assert parameters(converted) == parameters(model)
    with torch.no_grad():
        for parameter in converted.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_larger_image_gives_a_map_in_which_a_moved_object_moves():
    torch.manual_seed(0)
    model = alexnet((1, 32, 32), 4, width=0.1, dropout=0)
    converted = fully_convolutional(model)
    # Without biases black stays black, and the padding at the edges cannot be told from it.
    for layer in converted.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    canvas = torch.zeros(1, 1, 32, 64)
    scores = converted.score_map(canvas)
    assert scores.shape == (1, 4, 1, 5)  # a window every 8 pixels
    assert converted(canvas).shape == (1, 4)
    torch.testing.assert_close(converted(canvas), scores.mean(dim=(2, 3)))
    with_object = canvas.clone()
    with_object[..., 8:24, 40:56] = rand(16, 16)
    moved = canvas.clone()
    moved[..., 8:24, 32:48] = with_object[..., 8:24, 40:56]
    # An object 8 pixels further to the left is found one place further to the left.
    torch.testing.assert_close(
        converted.score_map(with_object)[..., 3], converted.score_map(moved)[..., 2], rtol=1e-5, atol=1e-6
    )
    assert not torch.allclose(converted.score_map(with_object)[..., 3], converted.score_map(moved)[..., 3])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: alexnet((3, 32)), r"image_shape must be \(C, H, W\).*got \(3, 32\)"),
        (lambda: alexnet((3, 30, 30)), r"at least 63 pixels or multiples of 8, got \(3, 30, 30\)"),
        (lambda: alexnet((3, 32, 0)), "positive integers"),
        (lambda: alexnet((3, 32, 32), 1), "num_classes at least 2.* and 1"),
        (lambda: alexnet((3, 32, 32), width=0), "width .* above 0, got 0"),
        (lambda: alexnet((3, 32, 32), dropout=1.0), r"dropout must be a number in \[0, 1\), got 1.0"),
        (lambda: fully_convolutional(nn.Linear(2, 2)), "model must be an AlexNet.* got Linear"),
        (
            lambda: fully_convolutional(alexnet((1, 16, 16), 3, width=0.01)).score_map(
                torch.zeros(1, 1, 8, 8)
            ),
            r"inputs must be at least as large as the training images; \(8, 8\)",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()
