# Needs Python 3.11 or newer, git and make; everything else is installed into .venv.
# PyTorch for CPUs alone (much smaller on Linux): PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install

PORT ?= 8000
DOCKER ?= docker
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
DATA := data/metro_traffic/metro_traffic.csv.gz
DEMO := demo/models/metro/1/bundle.json

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint format bench accuracy image lock clean

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: .venv/installed ## set up .venv for development

demo: $(DEMO) ## train on the shipped data, serve on PORT (8000), stream held-out months
	$(BIN)/tidegate demo --models demo/models --data $(DATA) --port $(PORT)

test: lint ## set up, check everything and run the tests
	$(BIN)/python -m pytest

lint: install ## check style, types and the containers' files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/docker-compose --file docker-compose.yml --profile '*' config --quiet

format: install ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/bench ## measure the service against its floors for some minutes (BENCH=--quick: for one, keeping nothing)
	$(BIN)/python -m tests.benchmarks.serving $(BENCH)

accuracy: install ## compare forecasts with published ones, on the data in TIDEGATE_BENCH_DATA (BENCH=--quick: only whether it runs)
	$(BIN)/python -m tests.benchmarks.accuracy $(BENCH)

image: ## build the server's container image, tagged tidegate (DOCKER=podman works too)
	BUILDAH_FORMAT=docker $(DOCKER) build --tag tidegate . # podman's own format has no health checks

lock: .venv/bin/pip ## renew constraints.txt; torch stays where its line there says
	grep '^torch==' constraints.txt > .venv/torch.txt
	$(PIP) install --dry-run --ignore-installed --constraint .venv/torch.txt '.[train,dev,bench,gpu]' > .venv/resolved.txt
	(sed -n '/^#/p' constraints.txt; sed -n 's/^Would install //p' .venv/resolved.txt | tr ' ' '\n' \
		| sed -e 's/-\([^-]*\)$$/==\1/' -e 's/+.*//' | grep -Ev '^(tidegate|cuda-.*|nvidia-.*|triton)==' | sort -f) > .venv/lock.txt
	mv .venv/lock.txt constraints.txt

clean: ## remove caches, builds and the demo's model; .venv stays
	rm -rf demo build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find app model training tests -name __pycache__ -prune -exec rm -rf {} +

$(DEMO): configs/metro.toml $(DATA) $(wildcard model/*.py training/*.py) | install
	rm -rf demo/models
	$(BIN)/python -m training fit --config configs/metro.toml --out demo/models

.venv/installed: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) install --constraint constraints.txt --editable '.[train,dev]'
	touch $@

.venv/bench: .venv/installed
	$(PIP) install --constraint constraints.txt --editable '.[train,dev,bench]'
	touch $@

.venv/bin/pip:
	@test -n '$(PYTHON)' || { echo "No Python 3.11 or newer with venv was found. Install one (on Debian and Ubuntu: \
	apt install python3 python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
