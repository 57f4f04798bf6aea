"""``python -m benchmarks.gpu``: everything that needs a GPU, the most important first, in nine minutes.

Writes ``data/results/gpu.json`` whenever a part is known; a stopped run goes on from there. ``--rehearse`` is the same
program with tiny sizes, on a CPU too.
"""

import argparse
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.gpu import speed
from benchmarks.gpu.card import FULL, REHEARSAL, Size, decode, noise, photographs
from benchmarks.gpu.race import Race
from benchmarks.gpu.recipe import (
    TEACHERS,
    Recipe,
    Way,
    averages,
    chosen,
    gradient_ways,
    grid_ways,
    offered,
    permuted_way,
)
from benchmarks.gpu.report import Report
from benchmarks.gpu.unlabelled import Unlabelled
from course_lib.data import Dataset

log = logging.getLogger("benchmarks.gpu")


def timed(report: Report, size: Size, device: torch.device) -> None:
    """The parts in which nothing is learned."""
    data = noise(device, size.images)
    report.part("graphs against single steps", lambda: speed.checked(data, size))
    report.part("throughput", lambda: speed.throughput(data, size))


class Run:
    """The other parts in their order.

    Args:
        data: on the device.
        report: keeps the results.
        recipe: of the teacher and its students.
    """

    def __init__(self, data: Dataset, report: Report, recipe: Recipe):
        self._data, self._report, self._recipe, self._size = data, report, recipe, recipe.size

    def carry_out(self) -> None:
        data, size, part = self._data, self._size, self._report.part
        tried = part("tuning of the teacher", self._recipe.teachers)
        best = tried["chosen"] if tried else {"lr": TEACHERS[0][0], "weight_decay": TEACHERS[0][1]}
        settings = best["lr"], best["weight_decay"]
        teacher = part("teacher", lambda: self._recipe.teacher(*settings))
        ways = self._ways(settings) if teacher else None
        if ways:
            self._students(ways)
        self._unlabelled(settings)
        if ways:
            self._controls(ways)
            self._late()
            self._grid(ways)
            self._gradients(ways)
        part("together", lambda: speed.together(data, size), needs=30)
        if ways:
            race = Race(data, size, ways, teacher)
            for epochs in size.races:
                part(f"race, {epochs} epochs", lambda n=epochs: race.round(n), needs=2 * epochs)
            self._long(ways)

    def _unlabelled(self, settings: tuple[float, float]) -> None:
        study = Unlabelled(self._data, self._size, settings)
        prepared = self._report.part("unlabelled", study.prepared, needs=40)
        for steps in self._size.steps if prepared else ():
            best = prepared["chosen"]
            found = self._report.part(
                f"unlabelled, {steps} steps",
                lambda n=steps, c=best: study.compared(c, n),
                needs=steps / 100,
            )
            log.info("%s", found and averages(found))

    def _ways(self, settings: tuple[float, float]) -> dict[str, Way] | None:
        """Both methods with the settings chosen for them."""
        part, recipe = self._report.part, self._recipe
        if part("answers", recipe.ask) is None:
            return None
        recipe.ask_again(*settings)
        tuned = part("tuning", lambda: recipe.tuned(offered()))
        return None if tuned is None else chosen(offered(), tuned)

    def _students(self, ways: dict[str, Way]) -> None:
        recipe, part = self._recipe, self._report.part
        for epochs in self._size.budgets:
            found = part(f"students, {epochs} epochs", lambda n=epochs: recipe.students(ways, n))
            log.info("%s", found and averages(found))

    def _controls(self, ways: dict[str, Way]) -> None:
        """Labels, and the same soft targets from answers without dark knowledge, over the budgets."""
        both = {"hard labels": ways["hard labels"], "permuted": permuted_way(ways["soft targets"])}
        for epochs in self._size.budgets:
            found = self._report.part(
                f"controls, {epochs} epochs",
                lambda n=epochs: self._recipe.students(both, n),
                needs=1.1 * epochs,
            )
            log.info("%s", found and averages(found))

    def _grid(self, ways: dict[str, Way]) -> None:
        """Temperatures and λ on validation images, over the budgets."""
        cells = {"soft targets": grid_ways(ways["soft targets"])}
        for epochs in self._size.budgets:
            part = f"grid, {epochs} epochs"
            self._report.part(part, lambda n=epochs: self._recipe.tuned(cells, n), needs=1.3 * epochs)

    def _late(self) -> None:
        """The longest of the budgets once more, with settings that were chosen over all of it."""
        recipe, size, part = self._recipe, self._size, self._report.part
        name, epochs = f"tuning over {size.epochs} epochs", size.epochs
        tuned = part(name, lambda: recipe.tuned(offered(late=True), epochs), needs=1.6 * epochs)
        if tuned is None:
            return
        ways = chosen(offered(late=True), tuned)
        found = part(f"students, {name}", lambda: recipe.students(ways, epochs), needs=1.1 * epochs)
        log.info("%s", found and averages(found))

    def _gradients(self, ways: dict[str, Way]) -> None:
        recipe, part = self._recipe, self._report.part
        candidates = {"gradients": gradient_ways(ways["hard labels"], ways["soft targets"])}
        tuned = part(
            "tuning of gradients", lambda: recipe.tuned(candidates, self._size.tuning_epochs / 2), needs=60
        )
        if tuned is None:
            return
        best = chosen(candidates, tuned)
        found = part(
            "students with gradients",
            lambda: recipe.students(best, self._size.gradient_epochs),
            needs=35,
        )
        log.info("%s", found and averages(found))

    def _long(self, ways: dict[str, Way]) -> None:
        recipe, size = self._recipe, self._size
        before = self._report.content["parts"].get(f"students, {size.epochs} epochs")
        if not before or "seconds" not in before:
            return
        needs = before["seconds"] * size.long_epochs / size.epochs
        found = self._report.part(
            f"students, {size.long_epochs} epochs",
            lambda: recipe.students(ways, size.long_epochs),
            needs=needs,
        )
        log.info("%s", found and averages(found))


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rehearse", action="store_true", help="tiny sizes and noise in place of photographs"
    )
    parser.add_argument("--seconds", type=float, default=520, help="for all parts")
    parser.add_argument("--output", type=Path, default=Path("data/results"), help="folder of the results")
    parser.add_argument("--folder", type=Path, default=Path("build/gpu"), help="folder of the teacher")
    parser.add_argument("--commit", help="of the code, where the folder is not a git checkout")
    options = parser.parse_args(arguments)
    _log_to_terminal()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.rehearse:
        parser.error("there is no GPU; --rehearse runs the same program in small")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    size = REHEARSAL if options.rehearse else FULL
    name = "gpu_rehearsal.json" if options.rehearse else "gpu.json"
    report = Report(options.output / name, size, options.seconds, options.commit)
    options.folder.mkdir(parents=True, exist_ok=True)
    # Photographs are decoded beside what does not need them, in a process of its own.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        decoding = None if options.rehearse else pool.submit(decode)
        timed(report, size, device)
        if decoding:
            decoding.result()
    data = noise(device, size.images) if options.rehearse else photographs(device)
    log.info("images are on %s", device)
    Run(data, report, Recipe(data, size, options.folder)).carry_out()
    log.info("written to %s", options.output / name)


if __name__ == "__main__":
    main()
