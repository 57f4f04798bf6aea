"""Search over method, temperature and λ with Optuna: a study that processes share, and that no killed one spoils."""

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError

from course_lib.errors import CourseError, check_count
from course_lib.progress import Stopped
from course_lib.training import METHODS, TrainingDiverged
from course_lib.tuning.settings import Setting
from course_lib.tuning.slots import Slots

# From a setting and some seeds to the validation accuracy of each seed's student, in per cent.
Evaluate = Callable[[Setting, Sequence[int]], Iterable[float]]

SEARCHED = ("soft targets", "logits", "gradient matching")
TEMPERATURE_RANGE = (1.0, 64.0)
_OPENINGS = 6  # attempts


def run_search(
    evaluate: Evaluate,
    *,
    trials: int,
    seeds: Sequence[int],
    chunk: int = 4,
    methods: Sequence[str] = SEARCHED,
    storage: str | Path | None = None,
    name: str = "tuning",
    sampler: optuna.samplers.BaseSampler | None = None,
    heartbeat: int = 10,
) -> optuna.Study:
    """Try settings until the study has ``trials`` of them, and return the study.

    A setting is a trial; its value is the mean validation accuracy over the seeds. They are trained in chunks, and
    between chunks a setting that is clearly worse than the best one, seed by seed, is pruned (Wilcoxon's test).
    Several processes that call this with the same storage and name share the trials. The trial of a process that is
    killed is begun again by another one, and every setting counts once.

    Args:
        evaluate: trains and validates, e.g. ``Task.validate``.
        trials: settings that the study will have tried in the end, by all processes together.
        seeds: the same for every setting, at least two.
        chunk: seeds that are trained at once.
        methods: names of ``METHODS`` among which to choose.
        storage: a file for SQLite, or a database's URL as SQLAlchemy takes it; None keeps the study in memory.
        name: of the study in the storage.
        sampler: what proposes settings; Optuna's tree-structured Parzen estimator if not given.
        heartbeat: seconds between two signs of life; after six without one a trial is given to another process.

    Raises:
        CourseError: a number is too small, an unknown method, a storage that cannot be opened, a setting at which a
            process died three times, or an ``evaluate`` that does not give one value per seed.
    """
    _refuse(trials, seeds, chunk, methods)
    study = open_study(storage, name, sampler, heartbeat)
    slots = Slots(study, trials, grace=6 * heartbeat)

    failures: list[Exception] = []  # of evaluate

    def objective(trial: optuna.Trial) -> float:
        slots.begin(trial)
        return _mean_accuracy(trial, suggest(trial, methods), evaluate, seeds, chunk, failures)

    while slots.wait():
        try:
            study.optimize(objective, n_trials=1, catch=(slots.Taken,))
        except (UpdateFinishedTrialError, ValueError) as error:
            # With no sign of life for long, our trial was given to another process: our result does not count.
            if error in failures:
                raise
    return study


def _mean_accuracy(
    trial: optuna.Trial,
    setting: Setting,
    evaluate: Evaluate,
    seeds: Sequence[int],
    chunk: int,
    failures: list[Exception],
) -> float:
    """Train chunk by chunk, report every seed's accuracy, and stop where the pruner says so."""
    values: list[float] = []
    for start in range(0, len(seeds), chunk):
        part = seeds[start : start + chunk]
        try:
            values += _one_each(evaluate(setting, part), part)
        except TrainingDiverged as error:
            trial.set_user_attr("diverged", str(error))
            raise optuna.TrialPruned(str(error)) from error
        except (KeyboardInterrupt, Stopped):
            trial.set_user_attr("interrupted", True)  # says nothing against the setting
            raise
        except Exception as error:
            failures.append(error)
            raise
        trial.set_user_attr("students", len(values))
        for seed, value in zip(part, values[start:], strict=True):
            trial.report(value, seed)
        if len(values) < len(seeds) and trial.should_prune():
            raise optuna.TrialPruned
    return float(sum(values) / len(values))


def _one_each(values: Iterable[float], seeds: Sequence[int]) -> list[float]:
    found = list(map(float, values))
    if len(found) != len(seeds):
        raise CourseError(f"evaluate must give one number per seed, {len(seeds)} of them, got {len(found)}")
    return found


def open_study(
    storage: str | Path | None,
    name: str = "tuning",
    sampler: optuna.samplers.BaseSampler | None = None,
    heartbeat: int = 10,
) -> optuna.Study:
    """The study of this name, made where it does not exist; arguments and errors as for ``run_search``."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = None if storage is None else _database(str(storage), heartbeat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    return optuna.create_study(
        study_name=name,
        storage=kept,
        sampler=sampler or optuna.samplers.TPESampler(),
        pruner=pruner,
        direction="maximize",
        load_if_exists=True,
    )


def _database(url: str, heartbeat: int) -> optuna.storages.RDBStorage:
    """Open the storage, and make its tables where there are none."""
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    # SQLite lets one process write at a time; the others must wait, not fail.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(1, _OPENINGS + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                kept = optuna.storages.RDBStorage(
                    url, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=6 * heartbeat
                )
            break
        except Exception as error:  # of SQLAlchemy, of a database's driver, or of Optuna
            # Of processes that make the tables at the same time all but one fail, and find them the next time.
            if not isinstance(error, DBAPIError) or attempt == _OPENINGS:
                reason = str(error).splitlines()[0]
                if isinstance(error, ImportError) and isinstance(error.__cause__, ModuleNotFoundError):
                    reason = f"the package {error.__cause__.name} for such a database is not installed"
                raise CourseError(
                    f"storage must be a file or the URL of a database, got {url} ({reason})"
                ) from error
            time.sleep(0.2 * attempt)
    return kept


def suggest(trial: optuna.Trial, methods: Sequence[str]) -> Setting:
    """A setting from the trial: a mix's λ evenly, another λ and the temperature by their logarithm."""
    name = trial.suggest_categorical("method", list(methods))
    method = METHODS[name]
    temperature, lam = 4.0, 0.0
    if method.softens:
        temperature = trial.suggest_float("temperature", *TEMPERATURE_RANGE, log=True)
    if method.mixes:
        lam = trial.suggest_float(f"λ, {name}", 0.0, 1.0)
    elif method.lams:
        lam = trial.suggest_float(f"λ, {name}", *method.lams, log=True)
    setting = Setting(name, temperature, lam)
    trial.set_user_attr("setting", [name, temperature, lam])
    return setting


def setting_of(trial: FrozenTrial) -> Setting:
    """The setting that a trial has tried."""
    return Setting(*trial.user_attrs["setting"])


def best_setting(study: optuna.Study) -> Setting:
    """The setting with the best mean among those that were trained with all seeds.

    Raises:
        CourseError: no trial is complete.
    """
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise CourseError("study must have a complete trial, got none")
    return setting_of(study.best_trial)


def trials_done(study: optuna.Study) -> int:
    """How many settings were tried to their end or pruned; a study holds given-up trials of several processes, too."""
    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def students_trained(study: optuna.Study) -> int:
    """Number of students trained by all trials together, the pruned ones with the seeds that they had."""
    return sum(trial.user_attrs.get("students", 0) for trial in study.get_trials(deepcopy=False))


def _refuse(trials: int, seeds: Sequence[int], chunk: int, methods: Sequence[str]) -> None:
    check_count(trials=trials, chunk=chunk)
    if len(set(seeds)) < max(2, len(seeds)):
        raise CourseError(f"seeds must be at least two and all different, got {list(seeds)}")
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise CourseError(f"methods must be among {', '.join(METHODS)}, got {', '.join(methods) or 'none'}")
