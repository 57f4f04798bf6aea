"""What processes do that share a study."""

import time

from course_lib.tuning import open_study, run_search


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
