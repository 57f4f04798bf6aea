"""A teacher of any kind: arrays, files, functions, estimators of scikit-learn, sessions of ONNX Runtime."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression

from course_lib.data import Examples, load
from course_lib.errors import CourseError
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Recipe,
    answers_from,
    cache_teacher,
    fit,
    save_answers,
    soft_targets,
    teacher_logits,
)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(60))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cnn_teacher().eval()


@pytest.fixture(scope="module")
def wanted(network, train):
    return teacher_logits(network, train)


def session(network):
    """What ONNX Runtime's session looks like from outside."""

    def run(outputs, inputs):
        assert outputs is None
        with torch.no_grad():
            return [network(torch.as_tensor(inputs["pixels"])).numpy(), "another output"]

    return SimpleNamespace(get_inputs=lambda: [SimpleNamespace(name="pixels")], run=run)


@pytest.mark.parametrize(
    "source",
    [
        lambda n, w: w,
        lambda n, w: w.double().numpy(),
        lambda n, w: lambda inputs: n(inputs),
        lambda n, w: lambda inputs: n(inputs).detach().numpy(),
        lambda n, w: session(n),
    ],
    ids=["tensor", "array", "function", "function of arrays", "ONNX Runtime"],
)
def test_every_source_gives_the_teachers_logits(source, network, wanted, train):
    cache = answers_from(source(network, wanted), train, batch_size=7)
    torch.testing.assert_close(cache.lookup(train), wanted)
    back = train.take(torch.arange(60).flip(0))
    torch.testing.assert_close(cache.lookup(back), wanted.flip(0))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_are_read(suffix, wanted, train, tmp_path):
    path = tmp_path / f"answers{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, wanted.numpy())
    assert torch.equal(answers_from(path, train).lookup(train), wanted)
    assert torch.equal(answers_from(str(path), train).lookup(train), wanted)


def test_saved_answers_find_their_examples_in_any_order_and_refuse_others(network, wanted, train, tmp_path):
    path = save_answers(cache_teacher(network, train), tmp_path / "teacher.npz")
    some = train.take(torch.tensor([40, 3, 17]))
    renamed = Examples(some.images, some.labels, torch.arange(3), some.mean, some.std)
    torch.testing.assert_close(answers_from(path, renamed).lookup(renamed), wanted[[40, 3, 17]])
    others = load("digits", seed=0).test.take(torch.arange(5))
    with pytest.raises(
        CourseError, match="does not know 5 of the 5 examples: it holds the answers to 60 others"
    ):
        answers_from(path, others)


def test_probabilities_become_logits_with_the_same_softmax(wanted, train):
    shares = wanted.softmax(dim=1)
    shares[0] = torch.eye(10)[3]
    cache = answers_from(shares, train, probabilities=True)
    torch.testing.assert_close(cache.lookup(train).softmax(dim=1), shares)


def test_a_classifier_of_scikit_learn_teaches(train):
    estimator = LogisticRegression(max_iter=500).fit(train.inputs.flatten(1).numpy(), train.labels.numpy())
    cache = answers_from(estimator, train)
    shares = torch.as_tensor(estimator.predict_proba(train.inputs.flatten(1).numpy())).float()
    torch.testing.assert_close(cache.lookup(train).softmax(dim=1), shares, rtol=1e-4, atol=1e-5)
    run = fit(small_mlp, soft_targets(1.0, 1.0), train, Recipe(steps=200, batch_size=20), teacher=cache)
    assert run.history["soft"][-10:].mean() < 0.2 * run.history["soft"][:5].mean()


def test_a_regressor_of_scikit_learn_gives_numbers():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=draw)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0])
    examples = Examples(inputs=x, labels=y[:, None])
    cache = answers_from(LinearRegression().fit(x.numpy(), y.numpy()), examples)
    torch.testing.assert_close(cache.lookup(examples)[:, 0], y, rtol=1e-4, atol=1e-4)


class Numbered:
    """A classifier that knows classes 1 to 10."""

    classes_ = np.arange(1, 11)

    def predict(self, inputs):
        raise NotImplementedError

    def predict_proba(self, inputs):
        return np.full((len(inputs), 10), 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w, t, p: answers_from(w[:59], t), "one row for each of the 60 examples, got 59"),
        (lambda w, t, p: answers_from(w.long(), t), r"floating point of shape \(N, C\), got torch.int64"),
        (
            lambda w, t, p: answers_from(w[:, 0], t),
            r"floating point of shape \(N, C\), got torch.float32 \(60,\)",
        ),
        (lambda w, t, p: answers_from(w.log(), t), "finite numbers, got NaN or infinity"),
        (lambda w, t, p: answers_from(w, t, probabilities=True), "at least 0 and sum to 1"),
        (lambda w, t, p: answers_from(w.softmax(1) / 2, t, probabilities=True), "at least 0 and sum to 1"),
        (lambda w, t, p: answers_from(cnn_teacher(), t), "cache_teacher"),
        (lambda w, t, p: answers_from(7, t), "a function, an estimator .* got int"),
        (
            lambda w, t, p: answers_from(lambda x: w, t, batch_size=20),
            r"for each example, 20, got shape \(60, 10\)",
        ),
        (lambda w, t, p: answers_from(Numbered(), t), "classes 0, 1, 2, … without a gap"),
        (lambda w, t, p: answers_from(p / "no.npy", t), "no.npy cannot be read: FileNotFoundError"),
        (
            lambda w, t, p: answers_from(p / "answers.csv", t),
            r"\.npy, \.npz, \.safetensors, got 'answers.csv'",
        ),
        (lambda w, t, p: (np.savez(p / "two.npz", a=1, b=2), answers_from(p / "two.npz", t)), "got a, b"),
        (lambda w, t, p: save_answers(answers_from(w, t), p / "x.pt"), "must end in .npz, got 'x.pt'"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message, wanted, train, tmp_path):
    with pytest.raises(CourseError, match=message) as caught:
        call(wanted, train, tmp_path)
    assert "\n" not in str(caught.value)
