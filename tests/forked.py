"""Processes forked off a server that has loaded the library once: each new interpreter takes seconds to load it."""

import multiprocessing

# Windows has no such server.
_METHODS = multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
PROCESSES.set_forkserver_preload(
    ["course_lib.distillation", "course_lib.tuning.search", "sklearn.model_selection"]
)


def start(work, *arguments):
    """A process that has begun the work, a function of a test's module; it does not outlive this one."""
    process = PROCESSES.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process
