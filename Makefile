# The course's verbs. Each one sets up what it needs in .venv and leaves the rest of the machine alone.
# Written for GNU make 3.81 (macOS) and later.

VENV := .venv
STAMP := $(VENV)/.course-ready
RUN := $(VENV)/bin/python
COURSE := $(RUN) -m course_lib.cli

# Another Python: make course PYTHON=/path/to/python
PYTHON ?=

.PHONY: help course test lab book bench lint outputs

help: ## show this list
	@echo "usage: make VERB"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

course: $(STAMP) ## run all notebooks on the embedded data, build the website, write build/report.json
	@$(COURSE) run --book

test: $(STAMP) ## run every test
	@$(RUN) -m pytest

lab: $(STAMP) ## open JupyterLab in the notebooks folder
	@$(COURSE) lab

book: $(STAMP) ## build the website from the outputs stored in the notebooks
	@$(COURSE) book

bench: $(STAMP) ## measure the library's speed, write build/bench.json
	@$(RUN) -m benchmarks

lint: $(STAMP) ## check style, format and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m basedpyright

# One at a time: stored times are those of a machine that does nothing else.
outputs: $(STAMP) ## for authors: run all notebooks and store their outputs in notebooks/
	@$(COURSE) run --in-place --jobs 1

# The stamp is removed first and written last: a set-up that was interrupted is begun again from nothing.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	clear=--clear; test ! -f $@ || clear=; rm -f $@; \
	python=; tried=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  tried="$$tried $$candidate is $$version."; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then python=$$candidate; break; fi; \
	done; \
	if test -z "$$python"; then \
	  echo "The course needs Python 3.11 or later.$${tried:- No Python was found.} Install one, or name it: make course PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$python $$version has no working venv module; install it (on Debian and Ubuntu: apt-get install python$$version-venv)." >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with Python $$version; the first time this takes some minutes."; \
	"$$python" -m venv $$clear $(VENV); \
	$(RUN) -m pip install --disable-pip-version-check --requirement requirements.lock; \
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	touch $@
