"""Long experiments, one module each: ``python -m studies.NAME`` measures what a notebook cannot afford to run.

A study can be stopped at any moment and goes on where it was; it writes ``data/results/NAME.json``, which the notebooks
read with ``course_lib.data.measured``.
"""
