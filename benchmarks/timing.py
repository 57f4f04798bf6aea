"""Timing that survives a busy machine: the contestants take turns, and only ratios within a turn are kept."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Seconds of one contestant over another's: median and quartiles over the rounds."""

    median: float
    low: float
    high: float


def timed(work: Callable[[], object]) -> float:
    """Wall-clock seconds of ``work``."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def take_turns(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds that every contestant says it took, in every round after a first one to warm up."""
    for run in contestants.values():
        run()
    turns = [{name: run() for name, run in contestants.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in contestants}


def ratio(over: list[float], under: list[float]) -> Ratio:
    """``over`` ÷ ``under``, round by round."""
    values = [a / b for a, b in zip(over, under, strict=True)]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(median, low, high)
