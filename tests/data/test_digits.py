"""The digits are scikit-learn's, image by image, with their grey levels spread over a byte."""

import torch
from sklearn.datasets import load_digits

from course_lib.data import load


def test_every_image_has_its_pixels_and_label():
    original, digits = load_digits(), load("digits", seed=3)
    for part in (digits.train, digits.validation, digits.test):
        pixels = torch.from_numpy(original.images)[part.index][:, None] / 16
        assert torch.allclose(part.images / 255, pixels.float(), atol=0.5 / 255)
        assert torch.equal(part.labels, torch.from_numpy(original.target)[part.index])


def test_what_it_says_about_itself():
    digits = load()
    assert (digits.name, digits.image_shape, digits.num_classes) == ("digits", (1, 8, 8), 10)
    assert digits.classes == tuple("0123456789")
    assert "scikit-learn" in digits.title


def test_inputs_of_the_train_part_have_mean_0_and_deviation_1():
    inputs = load().train.inputs.double()
    assert abs(inputs.mean()) < 1e-6
    assert abs(inputs.std(correction=0) - 1) < 1e-6
