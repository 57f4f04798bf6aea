"""Four optimisers on the big network of notebook 01, over budgets, each with a learning rate chosen for its budget."""

import torch

from course_lib.data import Dataset, load
from course_lib.measure import accuracy
from course_lib.models import big_mlp
from course_lib.training import Recipe, TrainingDiverged, fit, hard_labels
from studies.study import Study

BUDGETS = (50, 200, 1000)  # steps
# In half decades: 10^(k / 2). A grid begins with these and is widened until the best of every budget lies inside.
STARTS = {"sgd": (-2, -1, 0), "momentum": (-4, -3, -2), "rmsprop": (-7, -6, -5), "adam": (-7, -6, -5)}
SETTINGS = {
    "data": "digits",
    "seed": 0,
    "batch_size": 32,
    "budgets": BUDGETS,
    "starts": STARTS,
    "search_seeds": [1000, 1001],
    "seeds": list(range(5)),
}


def accuracies(digits: Dataset, rule: str, lr: float, seed: int) -> dict[str, list[float]]:
    """Accuracy in per cent of one network at every budget; 0 at all of them if the training diverged.

    Returns:
        "validation" and "test" by name, (budgets,) each.
    """
    recipe = Recipe(steps=BUDGETS[-1], batch_size=SETTINGS["batch_size"], optimizer=rule, lr=lr)
    try:
        run = fit(big_mlp, hard_labels(), digits.train, recipe, seed=seed, keep=BUDGETS[:-1], progress=False)
    except TrainingDiverged:
        return {part: [0.0] * len(BUDGETS) for part in ("validation", "test")}
    found = {}
    with torch.no_grad():
        for part in ("validation", "test"):
            examples = getattr(digits, part)
            found[part] = [
                100 * float(accuracy(run.at(steps).model(examples.inputs), examples.labels))
                for steps in run.budgets
            ]
    return found


class Search:
    """The learning rates of one rule that were tried, with what the validation images say of them."""

    def __init__(self, study: Study, digits: Dataset, rule: str):
        self.study, self.digits, self.rule = study, digits, rule
        self.tried = {k: self.validation(k) for k in STARTS[rule]}
        while wanted := {self.best(place) for place in range(len(BUDGETS))} & {
            min(self.tried),
            max(self.tried),
        }:
            for edge in wanted:
                beyond = edge - 1 if edge == min(self.tried) else edge + 1
                self.tried[beyond] = self.validation(beyond)

    def measured(self, k: int, seed: int) -> dict[str, list[float]]:
        lr = float(f"{10 ** (k / 2):.3g}")
        key = f"{self.rule}, lr {lr:g}, seed {seed}"
        return self.study.kept(key, lambda: accuracies(self.digits, self.rule, lr, seed))

    def validation(self, k: int) -> list[float]:
        """Mean over the search seeds, (budgets,)."""
        runs = [self.measured(k, seed)["validation"] for seed in SETTINGS["search_seeds"]]
        return torch.tensor(runs).mean(dim=0).tolist()

    def best(self, place: int) -> int:
        """The half decade with the best mean at a budget; of equal ones the smallest."""
        return max(sorted(self.tried), key=lambda k: self.tried[k][place])


def main() -> None:
    """Choose on validation images with two seeds; then fresh networks at the rate of each budget, on test images."""
    study = Study("chapter_01", __doc__, SETTINGS)
    digits = load(SETTINGS["data"], seed=SETTINGS["seed"])
    results = {}
    for rule in STARTS:
        search = Search(study, digits, rule)
        chosen = [search.best(place) for place in range(len(BUDGETS))]
        results[rule] = {
            "rates": [float(f"{10 ** (k / 2):.3g}") for k in sorted(search.tried)],
            "validation": [search.tried[k] for k in sorted(search.tried)],  # (rates, budgets)
            "chosen": [float(f"{10 ** (k / 2):.3g}") for k in chosen],
            "test": [  # (budgets, seeds)
                [search.measured(k, seed)["test"][place] for seed in SETTINGS["seeds"]]
                for place, k in enumerate(chosen)
            ],
        }
    study.write(results=results)


if __name__ == "__main__":
    main()
