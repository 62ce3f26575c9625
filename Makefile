# The runbook's commands. `make` alone lists them. What they set up stays in this folder: .venv and .cache.

PROFILE ?= embedded# a file of runbook/profiles
ARGS ?=#            more words for `python -m lib run`, such as --only 05
HARDWARE ?=#        cpu or cuda; empty: what this host has
REPORT_LANG ?= en#  the language that the report opens in, en or ru; its file holds both
TESTS ?= tests#     what `make test` runs
LOCK ?=#            more words for `make lock`, such as --upgrade
export HARDWARE REPORT_LANG

PY := .venv/bin/python
SETUP := sh scripts/setup.sh
# JupyterLab and IPython keep their files here, not in the home folder.
JUPYTER := $(CURDIR)/.cache/jupyter
IN_PROJECT := PYTHONPATH='$(CURDIR)' JUPYTER_CONFIG_DIR='$(JUPYTER)/config' JUPYTER_DATA_DIR='$(JUPYTER)/data' \
	JUPYTER_RUNTIME_DIR='$(JUPYTER)/runtime' JUPYTERLAB_SETTINGS_DIR='$(JUPYTER)/settings' \
	JUPYTERLAB_WORKSPACES_DIR='$(JUPYTER)/workspaces' IPYTHONDIR='$(JUPYTER)/ipython' npm_config_cache='$(JUPYTER)/npm'

.DEFAULT_GOAL := help
.PHONY: help runbook test lab rehearse drill report pdf review-pack lint format lock setup clean distclean

help:  ## list the commands
	@echo 'make COMMAND [PROFILE=$(PROFILE)]'
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo 'PROFILE is one of: $(basename $(notdir $(wildcard runbook/profiles/*.yml)))'
	@echo 'REPORT_LANG=en|ru is the language that the report opens in; its file holds both.'
	@echo 'HARDWARE=cpu|cuda, PYTHON=/path/to/python, SYSTEM_PACKAGES=no change what is set up; ARGS="--only 05" what is run.'

runbook:  ## set up, run the chapters, write the report (ARGS: --only 05,06 --from 05 --fresh --set FIELD=VALUE)
	@$(SETUP) --profile '$(PROFILE)'
	@$(PY) -m lib run --profile '$(PROFILE)' $(ARGS)

test:  ## set up, check style and types, run all tests
	@$(SETUP) --profile embedded --tests
	@$(MAKE) --no-print-directory lint-only
	@$(PY) -m scripts.test $(TESTS)

lab:  ## set up, open the chapters in JupyterLab (this machine only, with its token)
	@$(SETUP) --profile '$(PROFILE)'
	@$(IN_PROJECT) $(PY) -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir='$(CURDIR)' \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

rehearse:  ## set up, play every change on fresh twins: apply, verify, again, power cut, verify, undo (PROFILE)
	@$(SETUP) --profile '$(PROFILE)'
	@$(PY) -m lib deploy rehearse --profile '$(PROFILE)' $(ARGS)

drill:  ## set up, play every drill again: ways in cut, alerts fired and cleared, faults, damaged backups (PROFILE)
	@$(SETUP) --profile '$(PROFILE)'
	@$(PY) -m lib run --profile '$(PROFILE)' --only 11,12,13,14 --fresh --thorough $(ARGS)

report:  ## write the report of the latest run again
	@$(SETUP)
	@$(PY) -m lib report

pdf:  ## write the report of the latest run again, and print it to PDF
	@$(SETUP)
	@$(PY) -m lib report --pdf

review-pack:  ## write what is sent to a reviewer: the document, its evidence, a post to find one
	@$(SETUP)
	@$(PY) -m lib review pack

lint:  ## check style and types
	@$(SETUP)
	@$(MAKE) --no-print-directory lint-only

.PHONY: lint-only
lint-only:
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format:  ## put the code into the house's style
	@$(SETUP)
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

lock:  ## resolve pyproject.toml into runbook/locks again (LOCK: --upgrade --hardware cpu --find-links FOLDER)
	@$(SETUP)
	@$(PY) -m scripts.lock $(LOCK)

setup:  ## only set up
	@$(SETUP) --profile '$(PROFILE)'

clean:  ## remove runs and caches; .venv and models stay
	rm -rf runbook/runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@if [ -d .cache ]; then find .cache -mindepth 1 -maxdepth 1 ! -name models -exec rm -rf {} +; fi
	@find lib notebooks scripts tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## remove .venv and models too
	rm -rf .venv .cache
