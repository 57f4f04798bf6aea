"""Four optimisers on the big network of notebook 01, over budgets, each with a learning rate chosen for its budget."""

import torch

from course_lib.data import Dataset, load
from course_lib.measure import accuracy
from course_lib.models import big_mlp
from course_lib.training import Recipe, TrainingDiverged, fit, hard_labels
from studies.study import Study

BUDGETS = (100, 400, 2000)  # steps
# As many for each rule, and wide enough for the best to lie inside.
RATES = {
    "sgd": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    "momentum": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "rmsprop": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
    "adam": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
}
SETTINGS = {
    "data": "digits",
    "seed": 0,
    "batch_size": 32,
    "budgets": BUDGETS,
    "rates": RATES,
    "search_seeds": [1000, 1001],
    "seeds": list(range(8)),
}


def accuracies(digits: Dataset, rule: str, lr: float, seed: int) -> dict[str, list[float]]:
    """Accuracy in per cent at every budget of one network; 0 at those that a training which diverged never reached.

    Returns:
        "validation" and "test" by name, (budgets,) each.
    """
    recipe = Recipe(steps=BUDGETS[-1], batch_size=SETTINGS["batch_size"], optimizer=rule, lr=lr)
    try:
        run = fit(big_mlp, hard_labels(), digits.train, recipe, seed=seed, keep=BUDGETS[:-1], progress=False)
    except TrainingDiverged:
        return {"validation": [0.0] * len(BUDGETS), "test": [0.0] * len(BUDGETS)}
    found = {}
    with torch.no_grad():
        for part in ("validation", "test"):
            examples = getattr(digits, part)
            logits = {steps: run.at(steps).model(examples.inputs) for steps in run.budgets}
            found[part] = [100 * float(accuracy(each, examples.labels)) for each in logits.values()]
    return found


def main() -> None:
    """Choose on validation images with two seeds, then train eight fresh ones at each rate that a budget chose."""
    study = Study("chapter_01", __doc__, SETTINGS)
    digits = load(SETTINGS["data"], seed=SETTINGS["seed"])

    def measured(rule: str, lr: float, seed: int) -> dict[str, list[float]]:
        return study.kept(f"{rule}, lr {lr:g}, seed {seed}", lambda: accuracies(digits, rule, lr, seed))

    validation, test = {}, {}
    for rule, rates in RATES.items():
        searched = [
            [measured(rule, lr, seed)["validation"] for seed in SETTINGS["search_seeds"]] for lr in rates
        ]
        means = torch.tensor(searched).mean(dim=1)  # (rates, budgets)
        validation[rule] = means.tolist()
        chosen = {rates[place] for place in means.argmax(dim=0).tolist()}
        test[rule] = {
            f"{lr:g}": [measured(rule, lr, seed)["test"] for seed in SETTINGS["seeds"]]
            for lr in sorted(chosen)
        }
    study.write(validation=validation, test=test)


if __name__ == "__main__":
    main()
