"""Chapter 08's tolerance: students of three widths, on labels and on soft targets, after the longest training.

``python -m studies.chapter_08_sizes`` measures all parts and writes ``data/results/chapter_08_sizes.json``. Worlds,
teachers and students are those of ``studies.chapter_08_lessons``.
"""

from functools import partial
from typing import Any

from course_lib.models import mlp
from course_lib.training import PerStudent, cache_teacher, soft_targets
from studies.chapter_08_lessons import BUDGETS, LAM, SEEDS, TEMPERATURE, WORLDS, students, teacher, world
from studies.study import Study
from studies.worlds import crossed, right_answers

WIDTHS = (64, 16, 6)
SIDES = {"hard labels": 0.0, "soft targets": LAM}  # λ = 0 leaves nothing but labels
SETTINGS = {
    **{"worlds": WORLDS, "seeds": list(SEEDS), "steps": BUDGETS[-1], "widths": WIDTHS},
    **{"temperature": TEMPERATURE, "lam": LAM},
}


def reached(number: int, width: int) -> dict[str, Any]:
    """How many validation and test images the students of both sides get right, (sides, seeds) each."""
    digits = world(number).digits
    weights, _ = crossed(list(SIDES.values()), SEEDS)
    runs = students(
        soft_targets(TEMPERATURE, PerStudent(weights)),
        digits.train,
        cache_teacher(teacher(number), digits.train),
        repeated=len(SIDES),
        build=partial(mlp, (1, 8, 8), (width, width), 10),
    )
    return {
        name: right_answers(runs.logits(part.inputs), part.labels).view(len(SIDES), -1).tolist()
        for name, part in (("validation", digits.validation), ("test", digits.test))
    }


def main() -> None:
    """Measure everything that is not kept, and write."""
    study = Study("chapter_08_sizes", __doc__.splitlines()[0], SETTINGS)
    results = {
        str(number): {
            str(width): study.kept(f"width {width}, world {number}", partial(reached, number, width))
            for width in WIDTHS
        }
        for number in WORLDS
    }
    images = {name: len(getattr(world(WORLDS[0]).digits, name)) for name in ("validation", "test")}
    study.write(sides=list(SIDES), images=images, results=results)


if __name__ == "__main__":
    main()
