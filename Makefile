# make demo   create an environment, install, extract and fit on the embedded model and data, print the result
# make test   lint, types, tests
# make faults kills, losses of power, full disks and the like, for an hour; seeds are printed, SEED=N takes one again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/demo

.PHONY: demo test faults lint types unit clean

$(VENV)/.installed: pyproject.toml
	@echo "Creating $(VENV) and installing featcache (PyTorch with CUDA is about 6 GB: a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --progress-bar off --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/featcache extract --model tiny --dataset digits --root $(DEMO)
	$(BIN)/adapters fit --shots 4 --root $(DEMO)
	$(BIN)/adapters bench --methods auto,clip,tip --shots 4 --root $(DEMO)
	@echo "Now your own: type  . $(BIN)/activate  and then  featcache extract --help"

test: lint types unit

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed
	$(BIN)/mypy

unit: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal  # a process for each core: one thread each

faults: $(VENV)/.installed
	$(BIN)/pytest tests/faults --long $(if $(SEED),--fault-seed $(SEED))

clean:
	rm -rf $(VENV) dist build
