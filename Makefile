# make quickstart   install Assay into .venv and compare methods on five tasks
# make test         the same environment, plus every check that CI runs
#
# PYTHON chooses the interpreter (3.11 or later), VENV the folder of the environment.

PYTHON ?= python3
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: quickstart test clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/installed
	$(VENV)/bin/assay quickstart

test: $(VENV)/installed-dev
	ci/check

clean:
	rm -rf $(VENV)

# pip would compile on one core: all cores compile afterwards, and not the packages' own tests.
INSTALL := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile \
    -c constraints.txt
COMPILE := $(VENV)/bin/python -m compileall -qq -j 0 -x 'site-packages/.*/tests?/' \
    $(VENV)/lib suite leaderboard

# Reinstalled only when the list of packages changes: the code itself is used in place.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e .
	-$(COMPILE)
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	-$(COMPILE)
	touch $(VENV)/installed $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' || \
	    { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
