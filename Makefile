# The two commands are `make demo` and `make test`; everything else is for those who change maskloop.
PYTHON ?= python3
LABELS :=        # `folder`, or a Label Studio server: where `make demo` has its pictures labelled
TORCH ?= default  # `cpu`: PyTorch's own build for CPUs; or another of uv's torch backends
BIN := .venv/bin
EXPORT_STAMP := .venv-export/.installed
UV := $(BIN)/uv
UPGRADE :=
unexport PYTHONDONTWRITEBYTECODE  # dozens of processes import torch, MLflow and Prefect: compile them once

.PHONY: demo gameday test tests fast test-export test-labels test-studio test-cvat check site lock upgrade real load bench speed gpu workers cluster clean distclean environment

demo: environment       ## one whole turn of the loop, on a laptop CPU
	$(BIN)/maskloop demo demo $(if $(LABELS),--labels $(LABELS))

gameday: environment    ## the failures F1 to F8, played in copies of the demo's workspace (`make demo` first)
	$(BIN)/maskloop gameday all -w demo

test: check tests       ## everything proven; `make -j 2 test` checks while it tests

# Tests of one file stay together and share what is slow to start; the longest begin (tests/e2e/conftest.py).
tests: environment      ## the tests alone, in a process for each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Left out: DVC, decoders that die, training, exports, whole workflows and real servers; `make test` runs them.
FAST_TESTS := tests/unit/maskloop tests/unit/evaluation tests/unit/registry tests/unit/monitoring tests/unit/serving \
	tests/unit/dataset/coco tests/unit/flows/planning tests/unit/test_*.py
fast: environment check  ## the checks and the quick tests, below two minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not slow and not server" \
	  $(FAST_TESTS)

test-export: $(EXPORT_STAMP)  ## what exports need, in an environment of its own, and their tests
	MASKLOOP_SKIPS=none OMP_NUM_THREADS=1 .venv-export/bin/python -m pytest tests/unit/models/exports/test_exports.py \
	  tests/unit/models/engines/test_engines.py \
	  tests/unit/flows/exporting/test_model_export.py tests/contracts/test_model_ports.py \
	  tests/contracts/test_edge_bundle.py

test-labels: environment  ## what labelling tools write, by the tools themselves, each in an environment of its own (3 GB)
	$(BIN)/python -m tests.label_tools.environments install
	MASKLOOP_SKIPS=listed OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contracts/test_label_tools.py \
	  tests/unit/dataset/readers/test_real_exports.py

test-studio: environment  ## labels through a real Label Studio server, in an environment of its own (1 GB)
	$(BIN)/python -m tests.label_tools.environments install label-studio-server
	MASKLOOP_SKIPS=none OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contracts/test_labelling_tools.py \
	  tests/contracts/test_labelling_story.py tests/contracts/test_local_files.py

test-cvat: environment  ## what is said to CVAT, by its own client and published schema, in an environment of its own (150 MB)
	$(BIN)/python -m tests.label_tools.environments install cvat-sdk
	MASKLOOP_SKIPS=none OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contracts/test_cvat_schema.py

check: environment site ## lint, types, layers, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

site: environment       ## the documentation site in .site/html; fails on a broken link
	$(BIN)/python docs/build_site.py

real: environment       ## the loop on real photographs (see benchmarks/real/README.md)
	$(BIN)/python -m benchmarks.real nuclei
	$(BIN)/python -m benchmarks.real carparts

load: environment       ## the service under load, beside other servers (see benchmarks/serving/README.md)
	$(BIN)/python -m benchmarks.serving

bench: environment       ## the table of speed and growth, row by row; 15 minutes at most on two quiet cores
	$(BIN)/python -m benchmarks.table

speed: environment $(EXPORT_STAMP)  ## speed beside stock torchvision and pycocotools (see benchmarks/speed/README.md)
	$(BIN)/python -m benchmarks.speed predict --min-size-px 320 --budget-s 12
	$(BIN)/python -m benchmarks.speed masks evaluate --budget-s 10
	$(BIN)/python -m benchmarks.speed train judging loading --quick --budget-s 25
	.venv-export/bin/python -m benchmarks.speed export --batches 1 --min-size-px 320 --budget-s 20

gpu: environment        ## training and prediction on a GPU, beside stock torchvision; in small on a CPU (see docs/results.md)
	$(BIN)/python -m benchmarks.gpu

cluster: environment    ## three hosts in network namespaces, one cut off and one killed in each of 20 rounds (needs root); workers of a training, and of a batch of 10,000 tiles, killed
	MASKLOOP_SKIPS=none MASKLOOP_CLUSTER_ROUNDS=20 OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest tests/contracts/test_several_hosts.py
	MASKLOOP_CLUSTER=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster
	$(BIN)/python -m benchmarks.batch kills

workers: environment    ## one worker and several, on all GPUs or, without any, on the cores of a CPU (see docs/results.md)
	$(BIN)/python -m benchmarks.workers

PICTURES := --extra tiff --extra dicom --extra heic  # every format of pictures, small beside the rest
SERVERS := --extra postgresql --extra s3 --extra kubernetes --extra cluster
VIDEO := --extra video
LOCKED = $(UV) pip compile --quiet pyproject.toml --group dev $(SERVERS) $(PICTURES) $(VIDEO) --universal \
	  --generate-hashes --no-header --no-annotate $(UPGRADE)
lock: environment       ## pin what pyproject.toml asks for, hashes without addresses; pinned versions stay
	$(LOCKED) --output-file requirements.lock
	$(LOCKED) --extra export --output-file requirements-export.lock
	for runtime in onnx openvino; do $(UV) pip compile --quiet --group edge-$$runtime --universal --generate-hashes \
	  --no-header --no-annotate --constraint requirements-export.lock --python-version 3.11 \
	  --output-file serving/edge/requirements-$$runtime.lock || exit 1; done
	$(BIN)/python -m tests.label_tools.environments lock $(UPGRADE)

upgrade: UPGRADE = --upgrade
upgrade: lock           ## the same with the newest versions of everything

clean:                  ## remove what `make demo` and the checks left
	rm -rf demo .site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

distclean: clean        ## the environments and tools too
	rm -rf .venv .venv-export .venv-labels .tools

# Asks for the Python that was named; without a name, any that fits may stay.
environment:            ## Python and everything pinned, in .venv
	@$(PYTHON) environment.py --torch $(TORCH) $(if $(filter file default undefined,$(origin PYTHON)),,--this-python)

$(EXPORT_STAMP): requirements-export.lock | environment
	test -x .venv-export/bin/python || $(UV) venv --quiet --python $(BIN)/python .venv-export
	$(UV) pip install --quiet --python .venv-export/bin/python --require-hashes -r requirements-export.lock
	@touch $@
