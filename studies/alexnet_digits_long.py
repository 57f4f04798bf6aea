"""``python -m studies.alexnet_digits_long``: chapter 09's narrow AlexNets, with a decay chosen at every budget.

``studies.alexnet_digits`` chooses each method's number at 600 steps and keeps it. Students on hard labels fell apart on
the way to 3,000 steps with the weight decay so chosen. Here hard labels choose anew at each budget, and twice as many
students take the exam, also without any decay. The file is written after each method, so that a study that was stopped
shows what it has.
"""

import argparse
from functools import partial

from torch import Tensor

from course_lib.data import Dataset, load
from course_lib.measure import accuracy
from course_lib.training import TeacherCache
from studies import alexnet_digits as first
from studies.study import Study
from studies.worlds import baselines, diagnosed, rounded, subsets

SETTINGS = first.SETTINGS | {
    "chosen_at": "each budget",
    "choosing_seeds": [100, 101, 102, 103],
    "seeds": 16,
    # By method, whether it chooses anew; else it keeps what the first study chose.
    "methods": {
        "hard labels": True,
        "hard labels, input gradient": False,
        "hard labels, no decay": False,
    },
    "kept": {"hard labels, input gradient": 0.1, "hard labels, no decay": 0.0},
}
METHODS = first.METHODS | {"hard labels, no decay": first.METHODS["hard labels"]}
Caches = dict[str, TeacherCache]


def validated(name: str, value: float, dataset: Dataset, caches: Caches) -> dict[str, list[float]]:
    """By budget, the accuracies in percent on validation images of the students by which a value is chosen."""
    held_out = dataset.validation
    runs = first.train(
        METHODS[name],
        value,
        dataset,
        caches,
        SETTINGS["choosing_seeds"],
        SETTINGS["budgets"][-1],
    )
    return runs.over(lambda some: rounded(accuracy(some.logits(held_out.inputs), held_out.labels)))


def examined(
    name: str, value: float, steps: int, dataset: Dataset, caches: Caches, of_teacher: Tensor
) -> dict[str, dict[str, list[float]]]:
    """By budget up to ``steps``, the four numbers of every student, in percent."""
    seeds = list(range(SETTINGS["seeds"]))
    runs = first.train(METHODS[name], value, dataset, caches, seeds, steps)
    seen = subsets(dataset.train, SETTINGS["labels"], seeds)
    return runs.over(lambda some: diagnosed(some, seen, dataset.test, of_teacher))


def chosen_of(tried: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """By budget, the value with the largest mean; of several, the first."""
    return {
        str(budget): float(max(tried, key=lambda value: sum(tried[value][str(budget)])))
        for budget in SETTINGS["budgets"]
    }


def main() -> None:
    """Choose, examine and write, method after method."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    what = "Narrow AlexNets on 50 digits: hard labels choose their decay at every budget, 16 students"
    study = Study("alexnet_digits_long", what, SETTINGS)
    dataset = load("digits", seed=0)
    caches, of_teacher = first.answers(dataset)
    seen = subsets(dataset.train, SETTINGS["labels"], range(SETTINGS["seeds"]))
    tried, chosen, students = {}, {}, {}
    for name, anew in SETTINGS["methods"].items():
        if anew:
            tried[name] = {
                f"{value:g}": study.kept(
                    f"{name}, {value:g}", partial(validated, name, value, dataset, caches)
                )
                for value in METHODS[name].values
            }
            chosen[name] = chosen_of(tried[name])
        else:
            chosen[name] = dict.fromkeys(map(str, SETTINGS["budgets"]), SETTINGS["kept"][name])
        longest = {value: int(budget) for budget, value in chosen[name].items()}
        exams = {
            value: study.kept(
                f"{name}, {value:g}, exam up to {steps}",
                partial(examined, name, value, steps, dataset, caches, of_teacher),
            )
            for value, steps in longest.items()
        }
        students[name] = {budget: exams[value][budget] for budget, value in chosen[name].items()}
        study.write(
            data=dataset.title,
            validation_by_value=tried,
            chosen=chosen,
            students=students,
            teacher=100 * float(accuracy(of_teacher, dataset.test.labels)),
            baselines=baselines(seen, dataset.test, places=None),
        )


if __name__ == "__main__":
    main()
