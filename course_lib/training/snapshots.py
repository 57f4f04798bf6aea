"""Students at smaller budgets than their last step: one long training gives the results of all shorter ones."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from course_lib.errors import CourseError, check_count
from course_lib.training.recipe import Recipe


class Snapshots:
    """Copies of a training's weights after certain steps; part of its checkpoints.

    At a constant learning rate the student after 200 of 4,000 steps is, bit for bit, the one trained for 200 steps.

    Args:
        budgets: numbers of steps below the recipe's.
        recipe: of the training.
        weights: by name, as they are at each step.
        length: what else of the training depends on the number of its steps, in words, if anything.

    Raises:
        CourseError: a budget that is not an integer below the recipe's steps, or something that depends on them.
    """

    def __init__(
        self, budgets: Iterable[int], recipe: Recipe, weights: Mapping[str, Tensor], length: str | None = None
    ):
        self._budgets, self._weights = tuple(sorted(set(budgets))), weights
        for budget in self._budgets:
            check_count(keep=budget)
        if self._budgets and self._budgets[-1] > recipe.steps:
            raise CourseError(
                f"keep must hold budgets of at most {recipe.steps} steps, got {self._budgets[-1]}"
            )
        needed = None if recipe.endless else f"a constant learning rate, got the schedule {recipe.schedule!r}"
        needed = needed or (length and f"a training that does not depend on its length, got {length}")
        if self._budgets and needed:
            raise CourseError(
                f"keep needs {needed}: otherwise a student kept early differs from that of a shorter training"
            )
        self.taken: dict[int, tuple[dict[str, Tensor], float]] = {}  # weights and seconds by steps

    def after(self, step: int, seconds: float) -> None:
        """Copy the weights if this is one of the budgets."""
        if step in self._budgets:
            self.taken[step] = (
                {name: value.detach().clone() for name, value in self._weights.items()},
                seconds,
            )

    def state_dict(self) -> dict[str, Any]:
        return {"taken": dict(self.taken)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = next(iter(self._weights.values())).device
        self.taken = {
            step: ({name: value.to(device) for name, value in weights.items()}, seconds)
            for step, (weights, seconds) in state["taken"].items()
            if step in self._budgets
        }

    def refuse_missed(self, done: int) -> None:
        """Refuse a training that was resumed after one of the budgets, without its copy."""
        if missed := [step for step in self._budgets if step <= done and step not in self.taken]:
            raise CourseError(
                f"keep must hold budgets that the checkpoint has kept or not reached; it has {done} steps, and nothing "
                f"of step {missed[0]}: name another folder to train from the start"
            )
