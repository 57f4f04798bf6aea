"""Learning rates of the small network and of a discriminative Boltzmann machine in notebook 01, and its teachers."""

import torch

from course_lib.data import Dataset, load
from course_lib.measure import accuracy
from course_lib.models import small_mlp
from course_lib.training import Recipe, TrainingDiverged, fit_many, hard_labels
from course_lib.tuning import train_teacher
from studies.study import Study

WORLDS = (0, 1, 2)  # seeds of the notebook, which split the data
SETTINGS = {
    "data": "digits",
    "budgets": [100, 500, 4000],  # steps
    "batch_size": 32,
    "search_seeds": list(range(1000, 1010)),
    "rates": {
        "sgd": [0.01, 0.03, 0.1, 0.3, 1.0],
        "momentum": [0.003, 0.01, 0.03, 0.1, 0.3],
        "rmsprop": [0.0001, 0.0003, 0.001, 0.003, 0.01],
        "adam": [0.001, 0.003, 0.01, 0.03, 0.1],
    },
    "machine": {"hidden": 20, "rates": [0.003, 0.01, 0.03, 0.1]},
    "teachers": list(range(6)),
}


class Discriminative(torch.nn.Module):
    """A Boltzmann machine with a unit per class, as in the notebook."""

    def __init__(self):
        super().__init__()
        hidden = SETTINGS["machine"]["hidden"]
        self.pixels = torch.nn.Linear(64, hidden)  # W and c
        self.classes = torch.nn.Parameter(0.1 * torch.randn(10, hidden))  # U
        self.bias = torch.nn.Parameter(torch.zeros(10))  # d

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        evidence = self.pixels(images.flatten(1))[:, None] + self.classes  # (N, 10, hidden)
        return self.bias + torch.nn.functional.softplus(evidence).sum(dim=2)


def validation(make, recipe: Recipe, digits: Dataset) -> list[list[float]]:
    """Accuracy on validation images in per cent, (budgets, seeds); 0 if the loss of any network is not finite."""
    budgets, seeds = SETTINGS["budgets"], SETTINGS["search_seeds"]
    try:
        runs = fit_many(make, hard_labels(), digits.train, recipe, seeds=seeds, keep=budgets[:-1])
    except TrainingDiverged:
        return [[0.0] * len(seeds) for _ in budgets]
    part = digits.validation
    found = runs.over(lambda each: 100 * accuracy(each.logits(part.inputs), part.labels))
    return [found[steps].tolist() for steps in budgets]


def teacher(digits: Dataset, seed: int) -> float:
    """Test accuracy of one teacher in per cent."""
    model = train_teacher(digits, seed=seed)
    with torch.no_grad():
        return 100 * float(accuracy(model(digits.test.inputs), digits.test.labels))


def measured_world(study: Study, world: int) -> dict[str, dict | list]:
    """Every rate of every rule, every rate of the machine, and all teachers, on one split."""
    digits, steps = load(SETTINGS["data"], seed=world), SETTINGS["budgets"][-1]

    def by_rate(name: str, make, rates: list[float], **settings) -> dict[str, list[list[float]]]:
        recipes = {lr: Recipe(steps=steps, lr=lr, **settings) for lr in rates}
        return {
            f"{lr:g}": study.kept(
                f"world {world}, {name}, lr {lr:g}", lambda r=recipe: validation(make, r, digits)
            )
            for lr, recipe in recipes.items()
        }

    return {
        "rules": {
            rule: by_rate(rule, small_mlp, rates, batch_size=SETTINGS["batch_size"], optimizer=rule)
            for rule, rates in SETTINGS["rates"].items()
        },
        "machine": by_rate("machine", Discriminative, SETTINGS["machine"]["rates"]),
        "teachers": [
            study.kept(f"world {world}, teacher {seed}", lambda s=seed: teacher(digits, s))
            for seed in SETTINGS["teachers"]
        ],
    }


def main() -> None:
    """Measure all worlds, and write."""
    study = Study("chapter_01_small", __doc__, SETTINGS)
    study.write(worlds={str(world): measured_world(study, world) for world in WORLDS})


if __name__ == "__main__":
    main()
