"""Chapter 02's last sections: students of images that nobody labelled, and answers evened over the wrong classes.

``python -m studies.chapter_02_more`` measures all parts and writes ``data/results/chapter_02_more.json``. Worlds are
those of ``studies.chapter_02_search``, whose best settings every side has.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from course_lib.data import Examples, measured
from course_lib.models import small_mlp
from course_lib.training import (
    Objective,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    evened_dark_knowledge,
    fit_many,
    permuted_dark_knowledge,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.chapter_02 import halves
from studies.chapter_02_search import DECAYS, LABELS, LAMS, SMOOTHING, TEMPERATURES, WORLDS, answers, world
from studies.chapter_08_lessons import scores
from studies.study import Study
from studies.worlds import best, earlier, right_answers, subsets, teacher_of

PAIRS, HALF = range(20), range(10)  # seeds of students; on the unlabelled images there are half as many
STEPS = (100, 200, 600, 2000)
NEAR = {
    50: 100,
    200: 100,
    500: 1200,
    1200: 1200,
}  # number of labels: that of the search whose settings they have
SETTINGS = {"worlds": WORLDS, "pairs": len(PAIRS), "steps": STEPS, "near": NEAR}


def chosen(number: int) -> dict[str, dict[str, tuple[float, float]]]:
    """The best settings of a world by side and number of labels, as the search found them."""
    found = measured("chapter_02_search")["results"][str(number)]
    grids = {"soft": (TEMPERATURES, LAMS), "hard": (DECAYS, SMOOTHING), "unlabelled": (DECAYS, TEMPERATURES)}
    return {
        side: {labels: _best(grids[side], rows) for labels, rows in found[side].items()} for side in grids
    }


def _best(grid: tuple[Sequence[float], Sequence[float]], rows: list[list[list[int]]]) -> tuple[float, float]:
    pairs = list(product(*grid))
    return pairs[int(best(range(len(pairs)), [each for row in rows for each in row]))]


def students(
    objective: Objective,
    examples: Sequence[Examples],
    teacher: TeacherCache | None = None,
    decay: float = 0.0,
) -> Runs:
    """One student for every set, by the chapter's recipe."""
    recipe = Recipe(steps=STEPS[-1], batch_size=32, optimizer="adam", lr=5e-3, weight_decay=decay)
    return fit_many(
        small_mlp,
        objective,
        examples,
        recipe,
        seeds=range(len(examples)),
        teacher=teacher,
        keep=earlier(STEPS, STEPS[-1]),
        progress=False,
    )


def unlabelled(number: int) -> dict[str, Any]:
    """Students on one half of the images, with the answers of a teacher of the other half, or with some labels."""
    digits, settings = world(number).digits, chosen(number)
    seen, new = halves(digits.train, number)
    teacher = teacher_of(seen, number)
    asked, said = cache_teacher(teacher, new), teacher_logits(teacher, digits.test)
    named = replace(new, labels=asked.lookup(new).argmax(dim=1))
    decay, temperature = settings["unlabelled"][str(LABELS[-1])]
    permuted = permuted_dark_knowledge(asked, number)

    def on_labels(sets: Sequence[Examples], labels: int) -> Runs:
        own_decay, smoothing = settings["hard"][str(NEAR[labels])]
        return students(smoothed_labels(smoothing), sets, decay=own_decay)

    def on_answers(given: TeacherCache) -> Runs:
        return students(soft_targets(temperature, 1.0), [new] * len(HALF), given, decay)

    ways = {
        "soft targets": (on_answers(asked), new),
        "pseudo-labels": (on_labels([named] * len(HALF), LABELS[-1]), new),
        "permuted soft targets": (on_answers(permuted), new),
    }
    for labels in (50, 200, 500):
        few = subsets(new, labels, HALF)
        ways[f"hard labels, {labels}"] = on_labels(few, labels), few
    return {name: scores(runs, own, digits.test, said) for name, (runs, own) in ways.items()}


def evened(number: int, labels: int) -> list[int]:
    """Right test images of students of answers that tell no wrong class from another."""
    test, (temperature, lam) = world(number).digits.test, chosen(number)["soft"][str(NEAR[labels])]
    flat = evened_dark_knowledge(answers(number), temperature)
    runs = students(soft_targets(temperature, lam), world(number).subsets(labels, PAIRS), flat)
    return right_answers(runs.logits(test.inputs), test.labels).tolist()


def main() -> None:
    """Measure everything that is not kept, and write."""
    settings = SETTINGS | {"chosen": {str(number): chosen(number) for number in WORLDS}}
    study = Study("chapter_02_more", __doc__.splitlines()[0], settings)
    results = {
        str(number): {
            "unlabelled": study.kept(f"unlabelled, world {number}", partial(unlabelled, number)),
            "evened": {
                str(labels): study.kept(
                    f"evened, {labels} labels, world {number}", partial(evened, number, labels)
                )
                for labels in (50, 1200)
            },
        }
        for number in WORLDS
    }
    study.write(test_images=len(world(WORLDS[0]).digits.test), results=results)


if __name__ == "__main__":
    main()
