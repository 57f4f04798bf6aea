"""Temperature, λ and rate against weight decay, smoothing and rate: both sides tuned, over budgets, for notebook 10."""

from functools import partial
from itertools import product

import numpy as np

from course_lib import tuning
from course_lib.data import load
from course_lib.measure import accuracy, diagnose, trivial_baseline
from course_lib.models import small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    cache_teacher,
    fit_many,
    hard_labels,
    logits,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.study import Study

BUDGETS = (200, 800, 4000)  # steps
RATES = (0.001, 0.003, 0.01, 0.03)
TEMPERATURES, LAMS = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0), (0.5, 0.9)
DECAYS, SMOOTHINGS = (0.0, 0.001, 0.01, 0.1), (0.0, 0.1, 0.3)
SETTINGS = {
    "data": "digits",
    "seed": 0,
    "labels": [50, 200, 1200],
    "budgets": BUDGETS,
    "rates": RATES,
    # The settings of each side at every learning rate: temperature and λ (T = ∞: regression on the logits); smoothing
    # at every weight decay.
    "soft": [*product(TEMPERATURES, LAMS), ("inf", 1.0)],
    "decays": DECAYS,
    "smoothings": SMOOTHINGS,
    "search_seeds": list(range(1000, 1008)),
    "seeds": list(range(20)),
}
Accuracies = dict[str, dict[str, list]]


class World:
    """Data and teacher, and trainings of students with some number of labels, all at once."""

    def __init__(self):
        self.dataset = load(SETTINGS["data"], seed=SETTINGS["seed"])
        teacher = tuning.train_teacher(self.dataset, seed=SETTINGS["seed"])
        self.cache = cache_teacher(teacher, self.dataset.train)
        self.answers = teacher_logits(teacher, self.dataset.test)

    def train(
        self,
        labels: int,
        objective: Objective,
        seeds: list[int],
        lr: float,
        decay: float = 0.0,
        steps: int = BUDGETS[-1],
    ) -> Runs:
        """One student per seed, kept at all budgets on the way."""
        few = {seed: self.dataset.train.subset(labels, seed=seed) for seed in set(seeds)}
        return fit_many(
            small_mlp,
            objective,
            [few[seed] for seed in seeds],
            Recipe(steps=steps, lr=lr, weight_decay=decay),
            seeds=seeds,
            teacher=self.cache,
            keep=[budget for budget in BUDGETS if budget < steps],
            progress=False,
        )

    def score(self, runs: Runs, settings: int) -> Accuracies:
        """Accuracy in per cent, by part and budget: (settings, seeds)."""
        return {
            part: {
                str(steps): (100 * accuracy(each.logits(examples.inputs), examples.labels))
                .view(settings, -1)
                .numpy()
                .round(2)
                .tolist()
                for steps, each in runs.over(lambda runs: runs).items()
            }
            for part, examples in (
                ("validation", self.dataset.validation),
                ("test", self.dataset.test),
            )
        }

    def soft(self, labels: int, lr: float) -> Accuracies:
        """Every temperature and λ at one learning rate, and last the regression on the logits."""
        seeds, pairs = SETTINGS["search_seeds"], list(product(TEMPERATURES, LAMS))
        many = [(pair, seed) for pair in pairs for seed in seeds]
        temperatures, lams = PerStudent(pair[0] for pair, _ in many), PerStudent(pair[1] for pair, _ in many)
        mixed = self.score(
            self.train(labels, soft_targets(temperatures, lams), [seed for _, seed in many], lr), len(pairs)
        )
        limit = self.score(self.train(labels, logits(), seeds, lr), 1)
        return {
            part: {steps: mixed[part][steps] + limit[part][steps] for steps in mixed[part]} for part in mixed
        }

    def hard(self, labels: int, lr: float, decay: float) -> Accuracies:
        """Every smoothing at one learning rate and weight decay."""
        seeds = SETTINGS["search_seeds"]
        many = [(smoothing, seed) for smoothing in SMOOTHINGS for seed in seeds]
        objective = smoothed_labels(PerStudent(smoothing for smoothing, _ in many))
        return self.score(self.train(labels, objective, [seed for _, seed in many], lr, decay), len(SMOOTHINGS))

    def exam(
        self, labels: int, objective: Objective, lr: float, decay: float, steps: int
    ) -> dict[str, list[float]]:
        """Fresh students at one budget: the four diagnostic numbers in per cent, (seeds,) each."""
        seeds = SETTINGS["seeds"]
        runs = self.train(labels, objective, seeds, lr, decay, steps)
        seen = [self.dataset.train.subset(labels, seed=seed) for seed in seeds]
        found = diagnose(runs, seen, self.dataset.test, self.answers)
        names = ("train", "test", "agreement", "confidence_gap")
        return {name: (100 * getattr(found, name)).numpy().round(2).tolist() for name in names}

    def main() -> None:
    """Search both sides at every number of labels, and examine what was chosen."""
    study = Study("chapter_10", __doc__, SETTINGS)
    world, results = World(), {}
    for labels in SETTINGS["labels"]:
        found = searched(study, world, labels)
        results[str(labels)] = {
            "searched": found,
            "examined": examined(study, world, labels, found),
            "logistic regression": study.kept(f"{labels} labels, classical", partial(world.classical, labels)),
        }
    study.write(results=results)


if __name__ == "__main__":
    main()
