"""``python -m studies.alexnet_cifar10_pixels``: logistic regression on CIFAR-10's pixels, a baseline for chapter 09.

The same split and the same few labelled images as in ``benchmarks.alexnet_cifar10``; C is chosen on validation images.
"""

import argparse
import warnings
from functools import partial

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from course_lib.data import Dataset, Examples, load
from studies.study import Study

SETTINGS = {
    "few": 5_000,
    "seeds": 3,
    "C": [1e-5, 1e-4, 1e-3, 1e-2],
    "iterations": 60,
    "chosen_with": "few, seed 0",
}


def accuracy(seen: Examples, judged: Examples, c: float) -> float:
    """Accuracy in percent on the judged images of a regression on the seen ones."""
    regression = LogisticRegression(C=c, max_iter=SETTINGS["iterations"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many iterations are what was planned
        regression.fit(seen.inputs.flatten(1).numpy(), seen.labels.numpy())
    return 100 * regression.score(judged.inputs.flatten(1).numpy(), judged.labels.numpy())


def few(dataset: Dataset, seed: int) -> Examples:
    """The labelled images of one student."""
    return dataset.train.subset(SETTINGS["few"], seed=seed)


def main() -> None:
    """Choose C, then read the test images once."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    study = Study("alexnet_cifar10_pixels", "Logistic regression on the pixels of CIFAR-10", SETTINGS)
    dataset = load("cifar10")
    tried = {
        f"{c:g}": study.kept(f"C = {c:g}", partial(accuracy, few(dataset, 0), dataset.validation, c))
        for c in SETTINGS["C"]
    }
    c = float(max(tried, key=lambda each: tried[each]))
    study.write(
        data=dataset.title,
        validation=tried,
        chosen=c,
        few=[
            study.kept(f"few, seed {seed}, C = {c:g}", partial(accuracy, few(dataset, seed), dataset.test, c))
            for seed in range(SETTINGS["seeds"])
        ],
        all=study.kept(f"all, C = {c:g}", partial(accuracy, dataset.train, dataset.test, c)),
    )


if __name__ == "__main__":
    main()
