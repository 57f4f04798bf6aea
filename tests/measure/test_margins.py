"""The distance to the decision boundary, against closed forms and against a search in all directions."""

import pytest
import torch
from torch import nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.measure import boundary_distance
from course_lib.models import mlp


def examples(count, labels):
    """Images of two pixels, at random."""
    images = torch.randint(256, (count, 1, 1, 2), generator=torch.Generator().manual_seed(1)).byte()
    one = torch.ones(1)
    return Examples(images, labels, torch.arange(count), one / 2, one / 4)


def linear(weights):
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, len(weights), bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor(weights))
    return network


def test_for_a_linear_network_it_is_the_margin_over_the_norm_of_the_difference_of_weights():
    weights = [[1.0, 0.2], [-0.5, 1.0], [-0.3, -1.0]]
    network = linear(weights)
    points = examples(50, torch.zeros(50, dtype=torch.int64))
    logits = network(points.inputs).detach()
    labels = logits.argmax(dim=1)
    points = examples(50, labels)
    found = boundary_distance(network, points)
    for row, distance in enumerate(found.tolist()):
        own = int(labels[row])
        rivals = [
            float(logits[row, own] - logits[row, other])
            / float((torch.tensor(weights[own]) - torch.tensor(weights[other])).norm())
            for other in range(3)
            if other != own
        ]
        assert distance == pytest.approx(1.02 * min(rivals), rel=1e-4)  # a step goes 2 % past the boundary


def test_a_wrong_answer_is_at_distance_zero():
    network = linear([[1.0, 0.0], [-1.0, 0.0]])
    points = examples(20, torch.zeros(20, dtype=torch.int64))
    wrong = network(points.inputs).argmax(dim=1) == 1
    assert 0 < wrong.sum() < 20
    assert torch.equal(boundary_distance(network, points) == 0, wrong)


def test_a_network_that_always_answers_alike_has_no_boundary():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([1.0, 0.0]))
    assert boundary_distance(network, examples(5, torch.zeros(5, dtype=torch.int64))).isinf().all()


def test_it_is_never_below_the_nearest_change_in_any_direction_and_mostly_close_to_it():
    torch.manual_seed(0)
    network = mlp((1, 1, 2), (16, 16), 3)
    points = examples(30, torch.zeros(30, dtype=torch.int64))
    points = examples(30, network(points.inputs).argmax(dim=1))
    found = boundary_distance(network, points, steps=50)
    angles = torch.linspace(0, 2 * torch.pi, 721)[:-1]
    radii = torch.linspace(0, 5, 501)[1:]
    ring = torch.stack([angles.cos(), angles.sin()], dim=1)
    around = radii[:, None, None] * ring  # (radii, angles, 2)
    ratios = []
    for start, label, distance in zip(points.inputs, points.labels, found, strict=True):
        places = start.flatten() + around
        answers = network(places.view(-1, 1, 1, 2)).argmax(dim=1).view(len(radii), -1)
        changed = (answers != label).any(dim=1)
        if changed.any() and distance.isfinite():
            nearest = radii[changed][0]
            assert distance >= nearest - 0.01 - 1e-4
            ratios.append(float(distance / nearest))
    assert len(ratios) >= 10
    assert torch.tensor(ratios).median() < 1.2


def test_it_refuses_what_it_cannot_follow():
    points = examples(3, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(CourseError, match="steps must be an integer of at least 1"):
        boundary_distance(linear([[1.0, 0.0], [0.0, 1.0]]), points, steps=0)
    with pytest.raises(CourseError, match="network must return logits of shape"):
        boundary_distance(nn.Identity(), points)
