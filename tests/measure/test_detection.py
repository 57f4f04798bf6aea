"""Peaks, matching and counts, against small cases by hand and against trying every matching."""

import itertools
import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.measure import Detections, find_peaks, match_places, pooled, score_detections

MAP = torch.tensor(
    [
        [0.9, 0.8, 0.1, 0.6],
        [0.2, 0.7, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0.1],
        [0.5, 0.1, 0.1, 0.8],
    ]
)


def test_peaks_hide_their_surroundings_highest_first():
    assert find_peaks(MAP, 0.5).tolist() == [[0, 0], [3, 3], [0, 3], [3, 0]]
    assert find_peaks(MAP, 0.55).tolist() == [[0, 0], [3, 3], [0, 3]]
    assert find_peaks(MAP, 0.5, distance=2).tolist() == [[0, 0], [3, 3], [0, 3], [3, 0]]
    assert find_peaks(MAP, 0.5, distance=3).tolist() == [[0, 0]]


def test_at_distance_zero_every_place_above_the_threshold_is_a_peak():
    assert len(find_peaks(MAP, 0.5, distance=0)) == int((MAP >= 0.5).sum())


def test_a_place_hidden_by_a_peak_hides_nothing_itself():
    row = torch.tensor([[0.9, 0.8, 0.7, 0.1]])
    assert find_peaks(row, 0.5).tolist() == [[0, 0], [0, 2]]


def test_no_peaks():
    assert find_peaks(MAP, 2.0).shape == (0, 2)


def places(number, seed):
    return 10 * torch.rand(number, 2, generator=torch.Generator().manual_seed(seed))


def best_by_trying(found, objects, tolerance):
    """(most pairs, least total distance) over all one-to-one matchings."""
    few, many = sorted((found, objects), key=len)
    best = (0, 0.0)
    for chosen in itertools.permutations(range(len(many)), len(few)):
        apart = [float((few[i] - many[j]).norm()) for i, j in enumerate(chosen)]
        near = [each for each in apart if each <= tolerance]
        if (-len(near), sum(near)) < (-best[0], best[1]):
            best = (len(near), sum(near))
    return best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("number", "tolerance"), [((5, 5), 2.5), ((3, 6), 4.0), ((6, 4), 1.0), ((4, 4), 100.0)]
)
def test_matching_is_the_best_of_all(seed, number, tolerance):
    found, objects = places(number[0], seed), places(number[1], seed + 100)
    pairs = match_places(found, objects, tolerance)
    apart = (found[pairs[:, 0]] - objects[pairs[:, 1]]).norm(dim=1)
    count, total = best_by_trying(found, objects, tolerance)
    assert len(pairs) == count
    assert apart.sum().item() == pytest.approx(total, abs=1e-4)
    assert len(pairs[:, 0].unique()) == len(pairs[:, 1].unique()) == len(pairs)
    assert (apart <= tolerance).all()


def test_two_detections_of_one_object_make_one_pair():
    found = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert match_places(found, torch.tensor([[0.0, 0.0]]), 2.0).tolist() == [[1, 0]]


def test_matching_with_nothing():
    none = torch.empty(0, 2)
    assert match_places(none, places(3, 0), 1.0).shape == (0, 2)
    assert match_places(places(3, 0), none, 1.0).shape == (0, 2)


def scored():
    objects = torch.tensor([[10.0, 10.0], [30.0, 30.0], [50.0, 10.0], [70.0, 70.0]])
    found = torch.tensor([[13.0, 14.0], [30.0, 30.0], [90.0, 90.0]])
    return score_detections(found, torch.tensor([1, 9, 4]), objects, torch.tensor([1, 2, 3, 4]), 6.0)


def test_counts_by_hand():
    counts = scored()
    assert counts == Detections(found=3, objects=4, matched=2, named=1, offset=5.0)
    assert counts.precision == pytest.approx(2 / 3)
    assert counts.recall == pytest.approx(1 / 2)
    assert counts.class_accuracy == pytest.approx(1 / 2)
    assert counts.mean_offset == pytest.approx(2.5)
    precision, recall = 1 / 3, 1 / 4  # with the right class
    assert counts.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_pooled_counts_weigh_objects_and_not_images():
    other = Detections(found=1, objects=1, matched=1, named=1, offset=1.0)
    both = pooled([scored(), other])
    assert both == Detections(found=4, objects=5, matched=3, named=2, offset=6.0)
    assert both.recall == pytest.approx(3 / 5)


def test_shares_of_nothing_are_no_numbers():
    nothing = Detections(0, 0, 0, 0, 0.0)
    shares = (nothing.precision, nothing.recall, nothing.class_accuracy, nothing.mean_offset, nothing.f1)
    assert all(map(math.isnan, shares))
    assert Detections(0, 3, 0, 0, 0.0).f1 == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: find_peaks(MAP[0], 0.5), r"scores must be a map \(h, w\) without NaN, got \(4,\)"),
        (lambda: find_peaks(MAP / 0 * 0, 0.5), "without NaN"),
        (lambda: find_peaks(MAP, 0.5, distance=-1), "distance must be an integer of at least 0, got -1"),
        (
            lambda: match_places(MAP, places(2, 0), 1.0),
            r"found must hold places \(number, 2\), got \(4, 4\)",
        ),
        (lambda: match_places(places(2, 0), [1.0], 1.0), "objects must hold places .* got list"),
        (
            lambda: match_places(places(2, 0), places(2, 1), 0.0),
            "tolerance must be a finite number above 0, got 0.0",
        ),
        (
            lambda: score_detections(places(2, 0), torch.zeros(3), places(1, 0), torch.zeros(1), 1.0),
            r"found_labels must hold one class per place, \(2,\), got \(3,\)",
        ),
        (
            lambda: score_detections(places(2, 0), torch.zeros(2), places(1, 0), torch.zeros(2), 1.0),
            r"labels must hold one class per place, \(1,\), got \(2,\)",
        ),
        (lambda: pooled([]), "detections must hold those of one image at least"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()
