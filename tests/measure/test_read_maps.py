"""From maps to counts over thresholds, by hand; and logistic regression as a convolution."""

import pytest
import torch

from course_lib.data import Examples, load
from course_lib.data.canvases import Canvases, cut_windows, sample_windows, scatter
from course_lib.errors import CourseError
from course_lib.measure import count_found, linear_searcher, read_maps


def logits(*certain):
    """A map of 2 classes and background on 1 × 8 places, by (column, class, probability of an object)."""
    shares = torch.full((3, 1, 8), 1e-6)
    shares[2] = 1
    for column, label, score in certain:
        shares[label, 0, column], shares[2, 0, column] = score, 1 - score
    return shares.log()


MAPS = torch.stack([logits((1, 0, 0.9), (2, 1, 0.7), (6, 1, 0.4)), logits((4, 1, 0.2))])


def test_peaks_become_places_classes_and_scores():
    first, second = read_maps(MAPS, window=16, stride=4, lowest=0.1, distance=2)
    assert first.places.tolist() == [[8, 12], [8, 32]]  # the neighbour at column 2 is not a peak
    assert first.labels.tolist() == [0, 1]
    torch.testing.assert_close(first.scores, torch.tensor([0.9, 0.4]), rtol=1e-4, atol=0)
    assert second.labels.tolist() == [1]


def test_peaks_are_as_far_apart_as_they_are_told():
    maps = logits((1, 0, 0.9), (3, 1, 0.7), (6, 1, 0.4))[None]
    for distance, columns in ((1, [1, 3, 6]), (2, [1, 6]), (5, [1])):
        (found,) = read_maps(maps, window=16, stride=4, lowest=0.1, distance=distance)
        assert found.places[:, 1].tolist() == [4 * column + 8 for column in columns]
    (usual,) = read_maps(maps, window=16, stride=4, lowest=0.1)
    assert len(usual.places) == 2


def test_a_score_at_the_threshold_is_above_it():
    (found,) = read_maps(MAPS[:1], window=16, stride=4, lowest=0.1)
    for rank, score in enumerate(found.scores.tolist(), 1):
        assert len(found.above(score).scores) == rank


def test_a_higher_threshold_finds_what_it_would_have_found_itself():
    for threshold in (0.1, 0.3, 0.5, 0.95):
        for low, high in zip(
            read_maps(MAPS, window=16, stride=4, lowest=0.1),
            read_maps(MAPS, window=16, stride=4, lowest=threshold),
            strict=True,
        ):
            assert torch.equal(low.above(threshold).places, high.places)


def test_counts_over_thresholds_are_those_counted_by_hand():
    truth = Canvases(
        torch.zeros(2, 1, 16, 48, dtype=torch.uint8),
        torch.tensor([[[8.0, 13.0], [8.0, 31.0]], [[8.0, 40.0], [8.0, 8.0]]]),
        torch.tensor([[0, 0], [1, 1]]),
        torch.ones(1),
    )
    found = read_maps(MAPS, window=16, stride=4, lowest=0.1)
    counts = count_found(found, truth, [0.1, 0.3, 0.5], tolerance=4)
    told = {t: (each.found, each.objects, each.matched, each.named) for t, each in counts.items()}
    assert told == {0.1: (3, 4, 2, 1), 0.3: (2, 4, 2, 1), 0.5: (1, 4, 1, 1)}
    with pytest.raises(CourseError, match="found must be one for each of the 2 canvases, got 1"):
        count_found(found[:1], truth, [0.5], tolerance=4)


@pytest.mark.parametrize("maps", [torch.zeros(3, 4, 4), torch.zeros(1, 1, 4, 4), [1.0]])
def test_what_is_not_a_map_is_refused(maps):
    with pytest.raises(CourseError, match="maps must be floating-point logits"):
        read_maps(maps, window=16, stride=4)


@pytest.fixture(scope="module")
def windows():
    made = scatter(load("digits").train, canvases=12, objects=8, size=64, gap=2, edge=3, seed=0)
    return made, cut_windows(made, window=16, stride=4, background=10)


def test_logistic_regression_gives_the_same_as_a_convolution(windows):
    from sklearn.linear_model import LogisticRegression

    canvases, every = windows
    some = sample_windows(every, background=10, per_object=1, seed=0)
    layer = linear_searcher(some, stride=4)
    with torch.no_grad():
        found = layer(canvases.inputs).softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    model = LogisticRegression(max_iter=2000).fit(some.inputs.flatten(1).numpy(), some.labels.numpy())
    expected = torch.from_numpy(model.predict_proba(every.inputs.flatten(1).numpy())).float()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)


def test_a_missing_class_is_refused(windows):
    _, every = windows
    kept = every.take((every.labels != 3).nonzero().flatten())
    with pytest.raises(CourseError, match="an example of each of 11 classes"):
        linear_searcher(kept, stride=4)


def test_all_objects_are_sampled_and_so_many_of_background(windows):
    _, every = windows
    some = sample_windows(every, background=10, per_object=2, seed=1)
    objects = every.index[every.labels != 10]
    assert torch.equal(some.index[some.labels != 10], objects)
    assert int((some.labels == 10).sum()) == 2 * len(objects)
    other = sample_windows(every, background=10, per_object=2, seed=2)
    assert not torch.equal(some.index, other.index)
    empty = Examples(every.images[:3], torch.full((3,), 10), torch.arange(3), every.mean, every.std)
    for examples, many, words in ((empty, 1, "got 0 and 3"), (every, 900, "and 900 times as many")):
        with pytest.raises(CourseError, match=words):
            sample_windows(examples, background=10, per_object=many)
