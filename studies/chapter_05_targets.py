"""Chapter 05: targets between zero and the teacher's norm, and weight decay as one more rival on the logits.

The students are those of ``studies.chapter_05``, paired with them: the same seeds, images and noise.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from course_lib import losses
from course_lib.models import small_mlp
from course_lib.training import Objective, PerStudent, Recipe, Runs, Term, fit_many, logits
from studies.chapter_05 import GRIDS, LABELS, PAIRS, SEARCH, SHARES, STEPS, TUNED_FOR, WORLDS, World
from studies.study import Study
from studies.worlds import best, crossed

PARTS = (0.25, 0.5)  # of the teacher's mean norm, beside the 0 and 1 of chapter_05
BETAS = {
    "hard": (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "logits": GRIDS["penalty on logits, teacher's norm"],
}
DECAYS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
Counts = dict[str, dict[str, list]]  # by steps and share of noise: right answers, by value and student


def penalised(
    world: World, data: str, targets: Sequence[float], betas: Sequence[float], seeds: Sequence[int]
) -> Runs:
    """Students with a penalty by S; each has its own target (a share of the teacher's norm), β and seed."""
    first = Term("hard", losses.hard_label_loss) if data == "hard" else Term("logits", losses.logit_loss)
    penalty = Term(
        "penalty",
        losses.gradient_penalty_loss,
        PerStudent(betas),
        layers=["inputs"],
        soft_matrix=world.matrices["S"],
        target_norm=PerStudent(world.alpha * target for target in targets),
    )
    return _trained(world, Objective([first, penalty]), seeds)


def _trained(world: World, objective: Objective, seeds: Sequence[int], decay: float = 0.0) -> Runs:
    recipe = Recipe(steps=STEPS[-1], batch_size=32, lr=5e-3, weight_decay=decay)
    own = world.subsets(LABELS, seeds)
    settings: dict[str, Any] = {"teacher": world.cache, "keep": STEPS[:-1], "progress": False}
    return fit_many(small_mlp, objective, own, recipe, seeds=list(seeds), **settings)


def search_targets(world: World, data: str) -> dict[str, Counts]:
    """Right answers on validation images, by target, for all β at once."""
    betas, seeds = crossed(BETAS[data], SEARCH)
    size = len(betas)
    targets = [part for part in PARTS for _ in range(size)]
    runs = penalised(world, data, targets, betas * len(PARTS), seeds * len(PARTS))
    return _by_target(world.counts(runs, world.digits.validation), size, len(SEARCH))


def _by_target(counts: dict[str, dict[str, Any]], size: int, seeds: int) -> dict[str, Counts]:
    """The answers of students of every target, (values, seeds)."""
    return {
        str(part): {
            steps: {
                share: row[place * size : (place + 1) * size].view(-1, seeds).tolist()
                for share, row in each.items()
            }
            for steps, each in counts.items()
        }
        for place, part in enumerate(PARTS)
    }


def search_decay(world: World, decay: float) -> Counts:
    """Right answers of students on the logits with this weight decay, on validation images."""
    return _lists(world.counts(_trained(world, logits(), SEARCH, decay), world.digits.validation))


def _lists(counts: dict[str, dict[str, Any]]) -> Counts:
    return {steps: {share: row.tolist() for share, row in each.items()} for steps, each in counts.items()}


def compare_targets(
    world: World, data: str, chosen: dict[str, dict[str, float]]
) -> dict[str, dict[str, Counts]]:
    """Right answers of the paired students on test images, by target and by the noise that β was chosen for."""
    cells = [(part, share) for part in PARTS for share in TUNED_FOR]
    places, seeds = crossed(range(len(cells)), PAIRS)
    targets = [cells[int(place)][0] for place in places]
    betas = [chosen[str(cells[int(place)][0])][str(cells[int(place)][1])] for place in places]
    counts = world.counts(penalised(world, data, targets, betas, seeds), world.digits.test)
    size, found = len(PAIRS), {str(part): {} for part in PARTS}
    for place, (part, share) in enumerate(cells):
        own = slice(place * size, (place + 1) * size)
        found[str(part)][str(share)] = {
            steps: {noise: row[own].tolist() for noise, row in each.items()} for steps, each in counts.items()
        }
    return found


def compare_decay(world: World, decay: float) -> Counts:
    """Right answers of the paired students on the logits with this weight decay, on test images."""
    return _lists(world.counts(_trained(world, logits(), list(PAIRS), decay), world.digits.test))


def last_choice(grid: Sequence[float], rows: Counts, share: float) -> float:
    """The value that is best after the last step under this noise."""
    return best(grid, rows[str(STEPS[-1])][str(share)])


def targets_of(study: Study, world: World, data: str) -> dict[str, Any]:
    """Search and comparison for one data term."""
    found = study.kept(f"search, {data}", partial(search_targets, world, data))
    chosen = {
        part: {str(share): last_choice(BETAS[data], rows, share) for share in TUNED_FOR}
        for part, rows in found.items()
    }
    last = {part: rows[str(STEPS[-1])] for part, rows in found.items()}
    compared = study.kept(f"compared, {data}", partial(compare_targets, world, data, chosen))
    return {"searched": last, "chosen": chosen, "compared": compared}


def decay_of(study: Study) -> dict[str, Any]:
    """Weight decay on the logits, chosen in the first world, in all worlds."""
    first = World(WORLDS[0])
    rows = [study.kept(f"search, decay {value}", partial(search_decay, first, value)) for value in DECAYS]
    last = {str(share): [each[str(STEPS[-1])][str(share)] for each in rows] for share in TUNED_FOR}
    chosen = {share: best(DECAYS, each) for share, each in last.items()}
    compared: dict[str, dict[str, Counts]] = {}
    for seed in WORLDS:
        world = first if seed == WORLDS[0] else World(seed)
        compared[str(seed)] = {
            str(value): study.kept(f"decay {value}, world {seed}", partial(compare_decay, world, value))
            for value in dict.fromkeys(chosen.values())
        }
    return {"searched": last, "chosen": chosen, "compared": compared}


def main() -> None:
    """Targets in the first world, then weight decay in all."""
    settings = {
        "steps": STEPS,
        "noise": SHARES,
        "tuned for": TUNED_FOR,
        "labels": LABELS,
        "pairs": len(PAIRS),
        "search seeds": len(SEARCH),
        "targets": PARTS,
        "betas": BETAS,
        "decays": DECAYS,
        "worlds": WORLDS,
    }
    what = "Targets between zero and the teacher's norm, and weight decay on the logits, on the digits"
    study = Study("chapter_05_targets", what, settings)
    world = World(WORLDS[0])
    targets = {data: targets_of(study, world, data) for data in BETAS}
    study.write(targets=targets, decay=decay_of(study))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
