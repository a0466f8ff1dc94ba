# The two commands are `make demo` and `make test`; everything else is for those who change maskloop.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
UV := $(BIN)/uv

.PHONY: demo test check lock real load bench clean

demo: $(STAMP)          ## one whole turn of the loop, on a laptop CPU
	$(BIN)/maskloop demo demo

test: $(STAMP) check    ## everything proven
	$(BIN)/python -m pytest

check: $(STAMP)         ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

real: $(STAMP)          ## the loop on real photographs (see benchmarks/real/README.md)
	$(BIN)/python -m benchmarks.real nuclei
	$(BIN)/python -m benchmarks.real carparts

load: $(STAMP)          ## the service under load, beside other servers (see benchmarks/serving/README.md)
	$(BIN)/python -m benchmarks.serving

bench: $(STAMP)         ## speed beside stock torchvision and pycocotools (see benchmarks/speed/README.md)
	$(BIN)/python -m benchmarks.speed predict masks evaluate --budget-s 30
	$(BIN)/python -m benchmarks.speed train loading --quick --budget-s 60

lock: $(UV)             ## renew the pinned lock: hashes, no addresses
	$(UV) pip compile --quiet pyproject.toml --group dev --extra postgresql --universal --upgrade \
	  --generate-hashes --no-header --no-annotate \
	  --output-file requirements.lock

clean:                  ## remove what `make demo` and the checks left
	rm -rf demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(STAMP): requirements.lock pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(UV):
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
