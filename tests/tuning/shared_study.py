"""What processes do that share a study; they are forked off a server that has loaded the library once."""

import multiprocessing
import time

from course_lib.tuning import open_study, run_search

# Windows has no such server.
_METHODS = multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
PROCESSES.set_forkserver_preload(["course_lib.tuning.search"])


def opens_files(folder, together):
    together.wait()
    for number in range(8):
        open_study(folder / f"{number}.db")


def searches(folder, name, delay):
    def evaluate(setting, seeds):
        (folder / f"{name} is working").touch()
        time.sleep(delay)
        return [setting.temperature + seed for seed in seeds]

    settings = {"trials": 8, "seeds": [0, 1], "chunk": 2, "methods": ["soft targets"]}
    run_search(evaluate, **settings, storage=folder / "study.db", heartbeat=1)


def start(work, *arguments):
    """A process that does the work, which has begun."""
    process = PROCESSES.Process(target=work, args=arguments)
    process.start()
    return process
