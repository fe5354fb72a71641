# Two commands do everything on a fresh machine: make repro, make test. They make .venv first.
SHELL := /bin/bash
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help env repro test test-slow check lock readme

help:            ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' Makefile | expand -t 14

env: .venv/installed  ## make .venv from requirements.lock, exact versions

.venv/installed: requirements.lock requirements-numerics.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "error: Python 3.11 is expected: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

repro: env       ## the whole study: dvc repro, then the table, how it differs from the committed one, where the report is
	@python -m stages.check
	@dvc repro
	@cat metrics/results.md
	@echo "Against the committed figures (another CPU may differ by up to 0.1 dB; nothing printed: no difference):"
	@dvc metrics diff
	@echo "Report: $(CURDIR)/report/index.html"

test: env        ## the test suite
	pytest

test-slow: env   ## what takes longer than the suite's ten minutes allow
	pytest -m slow -n 0

check: env       ## format, lint, types, architecture
	ruff format --check .
	ruff check .
	mypy
	pytest -q -p no:cacheprovider -n 0 tests/test_architecture.py

lock: env        ## rewrite requirements.lock from what is installed (torch names its own CUDA libraries exactly)
	pip freeze --exclude-editable | grep -viE '^(nvidia|cuda|triton)' | grep -vixFf requirements-numerics.lock > requirements.new
	{ sed -n '/^[#-]/p' requirements.lock; cat requirements.new; } > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm requirements.new

readme:          ## put the committed table into the README
	sed -i -e '/<!-- results -->/,/<!-- \/results -->/{/<!--/!d}' -e '/<!-- results -->/r metrics/results.md' README.md
