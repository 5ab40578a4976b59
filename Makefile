# Every target does its own set-up; the second time it is quick.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
# HOST of the environment is not meant for us: some shells keep the machine's name in it.
HOST := $(or $(WPLUS_HOST),127.0.0.1)
PORT ?= $(or $(WPLUS_PORT),8000)
ARGS ?=
PROCESSES ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check --constraint constraints.txt

# torch's threads wait for each other by spinning unless told not to, which starves their neighbours.
export OMP_WAIT_POLICY ?= PASSIVE

# An environment that has torch already grows by little.
define CHECK_ROOM
import glob, shutil, sys
free_gb = shutil.disk_usage("$(VENV)").free / 1e9
if free_gb < 5.5 and not glob.glob("$(VENV)/lib/python3*/site-packages/torch"):
    sys.exit(f"The packages need 5.5 GB on this disk, got {free_gb:.1f} GB: make room, then run make again")
endef
export CHECK_ROOM

.PHONY: help setup serve test coverage check format client train eval bench weights wheels clean

help:
	@echo "make serve   run the service on http://$(HOST):$(PORT) (HOST=, PORT=)"
	@echo "make test    run the tests (ARGS='-k embed'), in two processes (PROCESSES=0: in one)"
	@echo "make coverage  run them and show which lines and branches none reaches"
	@echo "make check   format, lint, types, import rules, Dockerfiles and compose files"
	@echo "make format  put the code into shape"
	@echo "make client  write the blocking client from the asyncio one"
	@echo "make setup   only install the packages"
	@echo "make train   train the embedding network (ARGS='--preset pretrain --photos DIR')"
	@echo "make eval    measure the network (ARGS='--photos DIR --out DIR')"
	@echo "make bench   measure speed, load, growth and memory: about two hours (QUICK=1: half an hour, to see it run)"
	@echo "make weights fetch and convert the pretrained weights"
	@echo "make wheels  build the wheels of wplus, weights included, and of its client into dist/"
	@echo "make clean   remove the virtual environment and what was built"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, got $$($(PYTHON) -V)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is needed (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(RUN) -c "$$CHECK_ROOM"
	@echo "Installing the packages of wplus: about 3 GB to download, 5.5 GB on disk, most of it torch. This takes some minutes."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the packages for development: about 100 MB."
	@$(PIP) --quiet --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed

weights: $(VENV)/.installed
	@$(RUN) -m model_core.checkpoints pull

# What an earlier build left would be packed again.
wheels: $(VENV)/bin/python
	@rm -rf build wplus_client/build
	@$(RUN) -m pip wheel --disable-pip-version-check --no-deps --wheel-dir dist . ./wplus_client

serve: weights
	@WPLUS_HOST=$(HOST) WPLUS_PORT=$(PORT) exec $(RUN) -m service

# Tests of services mostly wait, others compute. In the order of their names the services, which take longest, come first.
PYTEST := $(RUN) -m pytest --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev weights
	@$(PYTEST) --durations=20 $(ARGS)

coverage: $(VENV)/.installed-dev weights
	@$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

check: $(VENV)/.installed-dev
	@$(RUN) -m ruff format --check
	@$(RUN) -m ruff check
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/hadolint docker/Dockerfile docker/Dockerfile.standins
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml docker/compose.gpu.yaml docker/compose.prod.yaml

format: $(VENV)/.installed-dev
	@$(RUN) -m ruff format
	@$(RUN) -m ruff check --fix

client: $(VENV)/.installed-dev
	@$(RUN) scripts/sync_client.py

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(PIP) --quiet --editable '.[bench]' --editable ./wplus_client
	@touch $@

train: $(VENV)/.installed-dev weights
	@$(RUN) -m model_core.training $(ARGS)

eval: $(VENV)/.installed-dev weights
	@$(RUN) -m model_core.evaluation $(ARGS)

# QUICK=1 shows that everything runs; its figures mean nothing.
bench: $(VENV)/.installed-bench weights
	@$(RUN) benchmarks/processors.py $(if $(QUICK),--rounds 2 --dtypes float32)
	@$(RUN) benchmarks/generator.py $(if $(QUICK),--rounds 2)
	@$(RUN) benchmarks/iterator_step.py $(if $(QUICK),--rounds 2)
	@$(RUN) benchmarks/fast_path.py $(if $(QUICK),--count 1 --divide 20)
	@$(RUN) benchmarks/schedule.py $(if $(QUICK),--count 1 --steps 2)
	@$(RUN) benchmarks/polish.py $(if $(QUICK),--count 1 --ways 1)
	@$(RUN) benchmarks/roofline.py $(if $(QUICK),--rounds 2)
	@$(RUN) benchmarks/embedding.py $(if $(QUICK),--rounds 2)
	@$(RUN) benchmarks/one_pass.py $(if $(QUICK),--steps 2 --faces 1)
	@$(RUN) benchmarks/editability.py $(if $(QUICK),--count 1)
	@$(RUN) benchmarks/start.py $(if $(QUICK),--rounds 1)
	@$(RUN) benchmarks/request_stages.py $(if $(QUICK),--requests 2)
	@$(RUN) benchmarks/http_load.py $(if $(QUICK),--seconds 1 --clients 1 4 --shares 0.5 3)
	@$(RUN) benchmarks/embed_during_job.py $(if $(QUICK),--rounds 1 --seconds 5 --clients 1)
	@$(RUN) benchmarks/growth.py $(if $(QUICK),--rounds 2 --jobs 10 100)
	@$(RUN) benchmarks/memory.py $(if $(QUICK),--requests 40 --checkpoints 4)
	@$(RUN) benchmarks/folder.py $(if $(QUICK),--count 4 --rounds 1)
	@$(RUN) benchmarks/films.py --frames $(if $(QUICK),4,14) --edits smile pose
	@$(RUN) benchmarks/scale.py --rounds 1 $(if $(QUICK),--photos 8 --empty 10)
	@$(RUN) benchmarks/training_nodes.py --rounds 1 --steps $(if $(QUICK),2,5)

clean:
	rm -rf $(VENV) build dist wplus_client/build *.egg-info wplus_client/*.egg-info
