"""``python -m studies.chapter_10_equal``: λ and weight decay for soft targets, too, and wider grids on both sides.

``studies.chapter_10`` let soft targets choose rate and temperature alone, and some of its choices lay at an edge. This
study adds the settings that were missing and repeats the exam with whatever validation chooses now.
"""

import argparse
from functools import partial

import numpy as np

from course_lib.data import measured
from course_lib.training import Objective, PerStudent, logits, smoothed_labels, soft_targets
from studies.chapter_10 import BUDGETS, MORE_SMOOTHINGS, SMOOTHINGS, World
from studies.chapter_10 import SETTINGS as FIRST
from studies.study import Study
from studies.worlds import crossed

RATES, SLOW, DECAYS = (0.001, 0.003), 0.0003, (0.001, 0.01)
MIXED = tuple((temperature, lam) for lam in (0.5, 0.9) for temperature in (4.0, 16.0, 64.0))
LOGITS = ("inf", 1.0)
SETTINGS = {
    "first": "chapter_10",
    "labels": [1200],  # where the first study found soft targets behind
    "budgets": BUDGETS,
    # By side, what is added: learning rate, weight decay, and (T, λ) or smoothing.
    "soft": [
        *((lr, decay, [*MIXED, LOGITS]) for lr in RATES for decay in DECAYS),
        *((lr, 0.0, MIXED[:3]) for lr in RATES),
        (SLOW, 0.0, [*MIXED[3:], LOGITS]),
    ],
    "hard": [
        *((lr, decay, [0.7]) for lr in RATES for decay in (0.0, *DECAYS)),
        *((SLOW, decay, [0.3, 0.5, 0.7]) for decay in (0.0, DECAYS[0])),
    ],
    "search_seeds": FIRST["search_seeds"],
    "seeds": FIRST["seeds"],
}


def objective(side: str, setting: list) -> Objective:
    """What a student learns from: of soft targets (T, λ), of hard labels the smoothing."""
    if side == "hard":
        return smoothed_labels(setting[0])
    return logits() if setting[0] == "inf" else soft_targets(*setting)


def added(world: World, side: str, labels: int, lr: float, decay: float, settings: list) -> dict[str, list]:
    """By budget, mean accuracy in percent on validation images of every setting."""
    seeds, found = SETTINGS["search_seeds"], []
    mixed = [each for each in settings if each != LOGITS]
    values, everyone = crossed(mixed, seeds)
    if side == "hard":
        stacked = smoothed_labels(PerStudent(values))
    else:
        temperatures, lams = zip(*values, strict=True)
        stacked = soft_targets(PerStudent(temperatures), PerStudent(lams))
    found.append(world.score(world.train(labels, stacked, everyone, lr, decay), len(mixed)))
    if LOGITS in settings:
        found.append(world.score(world.train(labels, logits(), seeds, lr, decay), 1))
    return {
        str(steps): [float(np.mean(row)) for each in found for row in each["validation"][str(steps)]]
        for steps in BUDGETS
    }


def of_first(side: str, labels: int, steps: int) -> dict[tuple, float]:
    """Mean validation accuracy by setting (T, λ or smoothing; decay; rate), of the first study."""
    table = {}
    for key, found in measured("chapter_10")["results"][str(labels)]["searched"][side].items():
        rate, decay = (float(key), 0.0) if side == "soft" else map(float, key.split(", "))
        names = FIRST["soft"] if side == "soft" else [(each,) for each in (*SMOOTHINGS, *MORE_SMOOTHINGS)]
        for name, seeds in zip(names, found["validation"][str(steps)], strict=False):
            table[*name, decay, rate] = float(np.mean(seeds))
    return table


def searched(study: Study, world: World, labels: int) -> dict[str, dict[str, dict[tuple, float]]]:
    """By side and budget, mean validation accuracy of all settings, of both studies."""
    tables = {
        side: {str(steps): of_first(side, labels, steps) for steps in BUDGETS} for side in ("soft", "hard")
    }
    for side, table in tables.items():
        for lr, decay, settings in SETTINGS[side]:
            settings = list(settings)
            found = study.kept(
                f"{labels} labels, {side}, lr {lr:g}, decay {decay:g}, {settings}",
                partial(added, world, side, labels, lr, decay, settings),
            )
            for steps, means in found.items():
                for setting, mean in zip(settings, means, strict=True):
                    name = setting if side == "soft" else (setting,)
                    table[steps][*name, decay, lr] = mean
    return tables


def main() -> None:
    """Search both sides at every number of labels, and examine what was chosen; write after each."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    study, world, results = Study("chapter_10_equal", __doc__, SETTINGS), World(), {}
    for labels in SETTINGS["labels"]:
        tables = searched(study, world, labels)
        results[str(labels)] = {
            "tried": {side: len(table[str(BUDGETS[-1])]) for side, table in tables.items()},
            "examined": {str(steps): {} for steps in BUDGETS},
        }
        for side, table in tables.items():
            for steps in BUDGETS:
                here = table[str(steps)]
                *setting, decay, lr = max(here, key=lambda each: here[each])
                exam = partial(world.exam, labels, objective(side, setting), lr, decay, steps)
                results[str(labels)]["examined"][str(steps)][side] = {
                    "setting": setting,
                    "decay": decay,
                    "rate": lr,
                    **study.kept(f"{labels} labels, {steps} steps, {side}: {setting}, {decay}, {lr}", exam),
                }
        study.write(results=results)


if __name__ == "__main__":
    main()
