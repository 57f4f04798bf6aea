"""A file of results holds what its settings announce, and comes from a commit."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.gpu.card import FULL
from benchmarks.gpu.recipe import hard_ways
from course_lib.data import measured
from studies.alexnet_unlabelled import SETTINGS, WAYS


def test_chapter_07_holds_every_part_and_method_that_it_names():
    found = measured("chapter_07")
    named = {part: set(methods) for part, methods in found["settings"]["parts"].items()}
    assert {part: set(each["methods"]) for part, each in found["parts"].items()} == named


def test_chapter_15_holds_every_world_and_method_that_it_names_and_the_longer_trainings():
    found = measured("chapter_15")
    named = {world: set(methods) for world, methods in found["settings"]["worlds"].items()}
    assert {world: set(each["methods"]) for world, each in found["worlds"].items()} == named
    long = found["settings"]["long"]
    for method in long["methods"]:
        budgets = found["worlds"]["0"]["long"][method]["budgets"]
        assert set(budgets) == set(map(str, long["budgets"]))
        assert all(len(each["f1"]) == long["seeds"] for each in budgets.values())


def test_chapter_01_small_holds_every_rate_budget_and_seed_that_it_names():
    found = measured("chapter_01_small")
    settings = found["settings"]
    rates = settings["rates"] | {"machine": settings["machine"]["rates"]}
    for world in found["worlds"].values():
        runs = world["rules"] | {"machine": world["machine"]}
        assert {name: list(each) for name, each in runs.items()} == {
            name: [f"{lr:g}" for lr in each] for name, each in rates.items()
        }
        shape = len(settings["budgets"]), len(settings["search_seeds"])
        assert {np.shape(each) for found in runs.values() for each in found.values()} == {shape}
        assert len(world["teachers"]) == len(settings["teachers"])


def test_chapter_02_more_holds_every_world_step_and_seed():
    found = measured("chapter_02_more")
    settings = found["settings"]
    assert set(found["results"]) == set(settings["chosen"]) == set(map(str, settings["worlds"]))
    for world in found["results"].values():
        assert {len(each) for each in world["evened"].values()} == {settings["pairs"]}
        for way in world["unlabelled"].values():
            assert list(way["right"]) == list(map(str, settings["steps"]))
            assert {len(each) for each in way["right"].values()} == {settings["pairs"] // 2}


def test_chapter_08_sizes_hold_every_world_width_side_and_seed():
    found = measured("chapter_08_sizes")
    settings = found["settings"]
    assert list(found["results"]) == list(map(str, settings["worlds"]))
    shape = len(found["sides"]), len(settings["seeds"])
    for by_width in found["results"].values():
        assert list(by_width) == list(map(str, settings["widths"]))
        for counts in by_width.values():
            assert {part: np.shape(each) for part, each in counts.items()} == dict.fromkeys(
                found["images"], shape
            )


def test_the_gpus_results_are_of_the_sizes_that_the_benchmark_has_now():
    found = measured("gpu")
    assert found["size"] == json.loads(json.dumps(asdict(FULL)))
    assert not [name for name, part in found["parts"].items() if "error" in part]
    for epochs in FULL.budgets:
        part = found["parts"][f"students, {epochs} epochs"]
        assert {name: len(each) for name, each in part["students"].items()} == {
            "hard labels": FULL.seeds,
            "soft targets": FULL.seeds,
        }
    tuning = found["parts"]["tuning"]
    assert len(tuning["hard labels"]["tried"]) == len(tuning["soft targets"]["tried"]) == len(hard_ways())


def test_photographs_without_labels_hold_every_way_budget_and_seed():
    found = measured("alexnet_unlabelled")
    settings = found["settings"]
    assert found["settings"] == json.loads(json.dumps(SETTINGS))
    assert set(found["students"]) == set(found["tried"]) == set(WAYS)
    for way in WAYS:
        assert len(found["tried"][way]) == len(settings["learning_rates"]) * len(settings["weight_decays"])
        assert [set(each) for each in found["students"][way]] == [
            set(map(str, settings["budgets"]))
        ] * settings["seeds"]


@pytest.mark.parametrize(
    "name",
    [
        "gpu",
        "alexnet_unlabelled",
        "chapter_01_small",
        "chapter_02_more",
        "chapter_02_search",
        "chapter_07",
        "chapter_07_rivals",
        "chapter_08_lessons",
        "chapter_08_sizes",
        "chapter_10_equal",
        "chapter_10_search",
        "chapter_15",
        "alexnet_digits_long",
        "alexnet_cifar10_pixels",
    ],
)
def test_a_study_was_written_from_a_commit(name):
    commit = measured(name)["commit"]
    assert commit
    assert not commit.endswith("+")
