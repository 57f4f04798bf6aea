"""What decides whether a Boltzmann machine's features beat pixels: shifted images, hidden units, or learning."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from course_lib.data import Examples, load
from studies.study import Study

SETTINGS = {
    "data": "digits",
    "seeds": list(range(5)),  # each of its own split, machine and random units
    "units": [20, 100],
    "sweeps": 10,
    "rates": [0.02, 0.06, 0.2, 0.6],
    "scales": [0.03, 0.1, 0.3, 1.0],  # of random weights
    "strengths": [0.1, 10.0, 1000.0],  # C of the logistic regression
    "budgets": [5, 20, 100],  # sweeps of a machine with 20 units on the images as they are
}
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
Part = tuple[np.ndarray, np.ndarray]


def pixels(examples: Examples, shifted: bool) -> Part:
    """Pixels from 0 to 1, (N, 64), and labels; with each image shifted by one pixel as well, (5 N, 64)."""
    images, labels = examples.images[:, 0].numpy() / 255, examples.labels.numpy()
    shifts = SHIFTS if shifted else SHIFTS[:1]
    moved = [np.zeros_like(images) for _ in shifts]
    for new, (down, right) in zip(moved, shifts, strict=True):
        new[:, max(down, 0) : 8 + min(down, 0), max(right, 0) : 8 + min(right, 0)] = images[
            :, max(-down, 0) : 8 - max(down, 0), max(-right, 0) : 8 - max(right, 0)
        ]
    return np.concatenate(moved).reshape(-1, 64), np.tile(labels, len(shifts))


class Splits:
    """The three parts of one split, as they are or shifted after splitting, so that no test image was seen."""

    def __init__(self, seed: int, shifted: bool):
        dataset = load(SETTINGS["data"], seed=seed)
        self.train, self.validation, self.test = (
            pixels(part, shifted) for part in (dataset.train, dataset.validation, dataset.test)
        )

    def scores(self, features, strength: float = 1.0) -> tuple[float, float]:
        """Validation and test accuracy in per cent of a logistic regression on fitted features, standardised."""
        top = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)

            inputs = [features.transform(part[0]) for part in (self.train, self.validation, self.test)]
            top.fit(inputs[0], self.train[1])
        labels = self.validation[1], self.test[1]
        return tuple(100 * top.score(x, y) for x, y in zip(inputs[1:], labels, strict=True))

    def best(self, candidates: dict[float, object]) -> dict[str, float]:
        """The candidate, and then the strength, that are best on validation images, with their test accuracy."""
        found = {name: self.scores(features)[0] for name, features in candidates.items()}
        chosen = max(found, key=lambda name: found[name])
        by_strength = {c: self.scores(candidates[chosen], c) for c in SETTINGS["strengths"]}
        strength = max(by_strength, key=lambda c: by_strength[c][0])
        validation, test = by_strength[strength]
        return {"setting": chosen, "strength": strength, "validation": validation, "test": test}


def machine(part: Part, units: int, rate: float, sweeps: int, seed: int) -> BernoulliRBM:
    made = BernoulliRBM(n_components=units, learning_rate=rate, n_iter=sweeps, random_state=seed)
    return made.fit(part[0])


def random_units(units: int, scale: float, seed: int) -> FunctionTransformer:
    """Hidden units that never learned: normal weights and biases of this scale."""
    generator = np.random.default_rng(seed)
    weights, biases = generator.normal(0, scale, (64, units)), generator.normal(0, scale, units)
    return FunctionTransformer(lambda x: 1 / (1 + np.exp(-(x @ weights + biases))))


def factorial(seed: int, shifted: bool) -> dict[str, dict[str, float]]:
    """Pixels, random units and machines on one split."""
    parts = Splits(seed, shifted)
    found = {"pixels": parts.best({0.0: FunctionTransformer()})}
    for units in SETTINGS["units"]:
        found[f"{units} random units"] = parts.best(
            {scale: random_units(units, scale, seed) for scale in SETTINGS["scales"]}
        )
        found[f"machine of {units} units"] = parts.best(
            {rate: machine(parts.train, units, rate, SETTINGS["sweeps"], seed) for rate in SETTINGS["rates"]}
        )
    return found


def longer(seed: int, sweeps: int) -> dict[str, float]:
    """A machine of 20 units on the images as they are, after so many sweeps, its rate chosen for them."""
    parts = Splits(seed, False)
    return parts.best({rate: machine(parts.train, 20, rate, sweeps, seed) for rate in SETTINGS["rates"]})


def main() -> None:
    """Measure all splits, and write."""
    study = Study("chapter_01_boltzmann", __doc__, SETTINGS)
    results = {
        name: [
            study.kept(f"{name}, seed {seed}", lambda s=seed, shifted=shifted: factorial(s, shifted))
            for seed in SETTINGS["seeds"]
        ]
        for name, shifted in (("as they are", False), ("shifted", True))
    }
    budgets = {
        str(sweeps): [
            study.kept(f"{sweeps} sweeps, seed {seed}", lambda s=seed, n=sweeps: longer(s, n))
            for seed in SETTINGS["seeds"]
        ]
        for sweeps in SETTINGS["budgets"]
    }
    study.write(results=results, budgets=budgets)


if __name__ == "__main__":
    main()
