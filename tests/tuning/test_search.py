"""The search: what it tries, prunes and chooses, and that no trial is lost or counted twice, whoever is killed."""

import json
import sys
import time
from collections import Counter

import numpy as np
import optuna
import pytest
from forked import PROCESSES, start
from optuna.trial import TrialState
from shared_study import opens_files, searches
from sqlalchemy.exc import OperationalError

from course_lib.errors import CourseError
from course_lib.training import TrainingDiverged
from course_lib.tuning import (
    METHODS,
    Setting,
    best_setting,
    open_study,
    run_search,
    setting_of,
    students_trained,
    trials_done,
)
from course_lib.tuning.slots import Slots

SEEDS = list(range(8))


def hill(setting, seeds):
    """Best at T = 8 and λ = 0.5; the seeds differ by as much for every setting."""
    height = 90 - 10 * abs(np.log2(setting.temperature / 8)) - 20 * abs(setting.lam - 0.5)
    return [height + seed / 100 for seed in seeds]


def searched(evaluate=hill, **changed):
    arguments = {
        "trials": 12,
        "seeds": SEEDS,
        "methods": ["soft targets"],
        "sampler": optuna.samplers.TPESampler(seed=0),
    }
    return run_search(evaluate, **arguments | changed)


def finished(study):
    return [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def test_it_tries_as_many_settings_as_asked_and_finds_the_best_of_them():
    study = searched()
    assert len(finished(study)) == len(study.trials) == 12
    values = [np.mean(hill(setting_of(trial), SEEDS)) for trial in study.trials]
    assert best_setting(study) == setting_of(study.trials[int(np.argmax(values))])
    assert study.best_value == pytest.approx(max(values))


def test_a_clearly_worse_setting_is_pruned_after_a_chunk_and_costs_less():
    study = searched(chunk=4)
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert all(trial.user_attrs["students"] == 4 for trial in pruned)
    assert students_trained(study) == 8 * 12 - 4 * len(pruned)


def test_seeds_are_reported_one_by_one_so_that_settings_are_compared_in_pairs():
    trial = searched(trials=1).trials[0]
    assert trial.intermediate_values == pytest.approx(
        dict(zip(SEEDS, hill(setting_of(trial), SEEDS), strict=True))
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_searched_within_its_range(method):
    tried = []
    searched(lambda setting, seeds: tried.append(setting) or [50.0] * len(seeds), methods=[method], trials=20)
    assert {setting.method for setting in tried} == {method}
    lams, temperatures = {setting.lam for setting in tried}, {setting.temperature for setting in tried}
    assert (len(temperatures) > 1) == METHODS[method].softens
    assert (len(lams) > 1) == (METHODS[method].lams is not None)


def test_several_methods_are_searched_together():
    study = searched(methods=["soft targets", "gradient matching"], trials=20)
    assert Counter(setting_of(trial).method for trial in study.trials).keys() == {
        "soft targets",
        "gradient matching",
    }


def test_a_diverged_setting_is_pruned_and_the_search_goes_on():
    def sometimes(setting, seeds):
        if setting.temperature > 4:
            raise TrainingDiverged("the loss became nan")
        return hill(setting, seeds)

    study = searched(sometimes)
    assert len(finished(study)) == 12
    assert any("nan" in trial.user_attrs.get("diverged", "") for trial in study.trials)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"trials": 0}, "trials"),
        ({"chunk": 0}, "chunk"),
        ({"seeds": [1]}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"methods": []}, "methods"),
        ({"methods": ["magic"]}, "methods"),
        ({"storage": "nodatabase://here"}, "storage"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(changed, word):
    with pytest.raises(CourseError, match=f"^{word} must"):
        searched(**changed)


def test_without_a_complete_trial_there_is_no_best():
    with pytest.raises(CourseError, match="complete trial"):
        best_setting(open_study(None))


@pytest.mark.xdist_group("forked")
def test_processes_that_open_a_new_file_at_the_same_time_all_succeed(tmp_path):
    together = PROCESSES.Barrier(2, timeout=120)
    processes = [start(opens_files, tmp_path, together) for _ in range(2)]
    try:
        for process in processes:
            process.join(timeout=120)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()


def test_a_storage_whose_tables_another_process_makes_is_opened_again(monkeypatch):
    make, calls = optuna.storages.RDBStorage.__init__, []

    def beaten(*arguments, **settings):
        calls.append(arguments)
        if len(calls) < 3:
            raise OperationalError("create", {}, Exception("table studies already exists"))
        make(*arguments, **settings)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", beaten)
    assert open_study("sqlite://").trials == []
    assert len(calls) == 3


def test_a_database_whose_driver_is_missing_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(CourseError, match=r"the package psycopg2? for such a database is not installed"):
        open_study("postgresql://user@localhost/base")


def test_only_what_was_tried_counts_as_done():
    study = searched(trials=3)
    study.enqueue_trial({})
    study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({})
    assert (len(study.trials), trials_done(study)) == (5, 3)


def test_a_later_call_goes_on_with_the_study_in_its_file(tmp_path):
    file = tmp_path / "new" / "study.db"
    first = [trial.params for trial in searched(storage=file, trials=3).trials]
    calls = []
    again = searched(
        lambda *given: calls.append(given) or hill(*given), storage=f"sqlite:///{file}", trials=5, chunk=8
    )
    assert len(calls) == 2
    assert [trial.params for trial in again.trials[:3]] == first


def test_a_setting_that_failed_is_tried_again_and_given_up_after_three_times(tmp_path):
    def fails(setting, seeds):
        raise OSError("no space left")

    for _ in range(3):
        with pytest.raises(OSError, match="no space"):
            searched(fails, storage=tmp_path / "study.db", trials=1, sampler=None)
    with pytest.raises(CourseError, match="failed 3 times"):
        searched(storage=tmp_path / "study.db", trials=1, sampler=None)
    tried = open_study(tmp_path / "study.db").trials
    assert len({json.dumps(trial.params) for trial in tried}) == 1


def test_an_interrupted_setting_goes_on_as_often_as_one_likes(tmp_path):
    def interrupted(setting, seeds):
        raise KeyboardInterrupt

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            searched(interrupted, storage=tmp_path / "study.db", trials=1)
    study = searched(storage=tmp_path / "study.db", trials=1)
    assert len(finished(study)) == 1


def test_a_result_that_comes_after_the_trial_was_given_away_does_not_count(tmp_path):
    file, calls = tmp_path / "study.db", []

    def asleep(setting, seeds):
        calls.append(setting)
        if len(calls) == 1:  # meanwhile, another process takes this one for dead
            other = open_study(file)
            other.tell(other.trials[0].number, state=TrialState.FAIL)
        return hill(setting, seeds)

    study = searched(asleep, storage=file, trials=2, chunk=8)
    assert len(finished(study)) == 2
    assert calls[0] in calls[1:]
    assert study.trials[0].state == TrialState.FAIL


def test_of_two_trials_of_one_slot_the_second_is_given_up(tmp_path):
    study = open_study(tmp_path / "study.db")
    for slot in (0, 0, 1):  # as when two processes fill the slots at the same time
        study.enqueue_trial({}, user_attrs={"slot": slot})
    study = searched(storage=tmp_path / "study.db", trials=2)
    assert sorted(trial.user_attrs["slot"] for trial in finished(study)) == [0, 1]


def test_a_trial_that_was_taken_and_never_begun_is_filled_again(tmp_path):
    study = open_study(tmp_path / "study.db")
    study.enqueue_trial({}, user_attrs={"slot": 0})
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()  # and killed before the first sign of life
    slots = Slots(study, trials=1, grace=0.6)
    assert slots.wait()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def shared(folder):
    """The complete and the failed trials of the study in the folder, whose slots were all tried to their end, once."""
    trials = open_study(folder / "study.db").trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.user_attrs["slot"] for trial in complete) == list(range(8))
    # Both may have filled a slot at once; the second trial waits for ever, for nobody needs it.
    waiting = {trial.user_attrs["slot"] for trial in trials if trial.state == TrialState.WAITING}
    assert waiting <= {trial.user_attrs["slot"] for trial in complete}
    assert not any(trial.state == TrialState.RUNNING for trial in trials)
    return complete, [t for t in trials if t.state == TrialState.FAIL and "given up" not in t.user_attrs]


@pytest.mark.xdist_group("forked")
def test_of_two_processes_that_start_at_once_none_tries_what_the_other_has(tmp_path):
    processes = [start(searches, tmp_path, name, 0.05) for name in ("one", "other")]
    try:
        for process in processes:
            process.join(timeout=150)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
    assert shared(tmp_path)[1] == []


@pytest.mark.xdist_group("forked")
def test_a_killed_process_loses_no_setting_and_none_is_tried_twice(tmp_path):
    """One is killed in the middle of a trial; the other one ends the study."""
    processes = [start(searches, tmp_path, "killed", 1000)]
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "killed is working").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        processes.append(start(searches, tmp_path, "left", 0.05))
        processes[0].kill()
        processes[1].join(timeout=150)
        assert processes[1].exitcode == 0
    finally:
        for process in processes:
            process.kill()
    complete, dead = shared(tmp_path)
    assert len(dead) == 1
    assert [t.params for t in complete if t.user_attrs["slot"] == dead[0].user_attrs["slot"]] == [
        dead[0].params
    ]


def test_a_setting_is_trained_and_validated_for_each_seed(task):
    values = task.validate(Setting("gradient matching", lam=0.1), [1, 2])
    assert values.shape == (2,)
    assert ((values >= 0) & (values <= 100)).all()


@pytest.mark.parametrize("values", [[90.0], [90.0] * 9])
def test_a_wrong_number_of_values_is_named(values):
    with pytest.raises(
        CourseError, match=rf"^evaluate must give one number per seed, 4 .* got {len(values)}$"
    ):
        searched(lambda setting, seeds: values)
