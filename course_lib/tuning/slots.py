"""Who tries what in a shared study: every slot is one setting, tried to its end once, whoever is killed in between.

Optuna's ``RetryHeartbeatStaleTrialCallback`` and ``MaxTrialsCallback`` do not give that: a trial whose process dies
before its first heartbeat never grows stale, one whose finder dies before the callback is not begun again, and several
processes end more trials than were asked for, without waiting for those of a killed one.
"""

import time
import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from course_lib.errors import CourseError

ATTEMPTS = 3
_POLL = 0.5  # seconds


class Slots:
    """The trials of a study as numbered slots.

    A slot is a waiting trial; a process that wants work takes the first one. Optuna finds running trials that no
    longer give a sign of life and fails them; such a slot is then filled again, with the same setting. Two processes
    may fill a slot at the same time: of the trials of one slot, the first that has not failed counts, and who takes
    another one gives it up. So nothing has to be done at the same time in all processes, and no lock is needed.

    Args:
        study: shared or in memory.
        trials: number of slots.
        grace: seconds after which a trial is given up that was taken and never begun.
    """

    class Taken(Exception):
        """Another process has this slot already; the trial is given up."""

    def __init__(self, study: optuna.Study, trials: int, grace: float):
        self._study, self._trials, self._grace = study, trials, grace
        self._seen: dict[int, float] = {}  # trials that were taken and not yet begun

    def begin(self, trial: optuna.Trial) -> None:
        """To be called first of all with a trial of this study.

        Raises:
            Taken: it is not to be tried by this process.
        """
        slot = trial.user_attrs.get("slot")
        earlier = [
            each
            for each in self._study.get_trials(deepcopy=False)
            if each.user_attrs.get("slot") == slot and each.number < trial.number
        ]
        if slot is None or any(each.state != TrialState.FAIL for each in earlier):
            trial.set_user_attr("given up", True)
            raise self.Taken
        trial.set_user_attr("begun", True)

    def wait(self) -> bool:
        """Fill empty slots; wait while others work on the last ones; False when every slot is tried to its end."""
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                optuna.storages.fail_stale_trials(self._study)
            self._fail_those_never_begun()
            states = self._fill()
            if TrialState.WAITING in states:
                return True
            if TrialState.RUNNING not in states:
                return False
            time.sleep(_POLL)

    def _fill(self) -> set[TrialState]:
        """Put a waiting trial into every slot that has none or only failed ones; the states of all slots then."""
        attempts: dict[int, list[FrozenTrial]] = {slot: [] for slot in range(self._trials)}
        for trial in self._study.get_trials(deepcopy=False):
            slot = trial.user_attrs.get("slot")
            if slot in attempts and not trial.user_attrs.get("given up"):
                attempts[slot].append(trial)
        states = set()
        for slot, tried in attempts.items():
            alive = [trial for trial in tried if trial.state != TrialState.FAIL]
            states.add(alive[0].state if alive else TrialState.WAITING)
            if not alive:
                self._try(slot, tried)
        return states

    def _try(self, slot: int, failed: list[FrozenTrial]) -> None:
        if sum("interrupted" not in trial.user_attrs for trial in failed) >= ATTEMPTS:
            raise CourseError(
                f"trial {failed[-1].number} failed {ATTEMPTS} times with {failed[-1].params}: its process died, or was "
                "killed for lack of memory"
            )
        params = failed[-1].params if failed else {}
        self._study.enqueue_trial(params, user_attrs={"slot": slot})

    def _fail_those_never_begun(self) -> None:
        """A process that dies between taking a trial and its first sign of life leaves one that never grows stale."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        idle = {trial.number for trial in running if "begun" not in trial.user_attrs}
        now = time.monotonic()
        self._seen = {number: self._seen.get(number, now) for number in idle}
        for number, since in self._seen.items():
            if now - since > self._grace:
                self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
