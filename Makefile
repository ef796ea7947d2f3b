PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FAST := tests/test_rooms.py tests/images tests/metrics tests/thermal tests/report tests/network/test_light.py \
	tests/fusion/test_plan.py tests/fusion/test_scheduler.py tests/alignment/test_transform.py \
	tests/cli/test_cli.py::test_one_line_gives_one_picture

.PHONY: onnx fuzz demo test fast lint docs hooks bench train-smoke clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/.installed  ## fuse the example pairs into out/demo
	$(BIN)/python -m fsidfusion demo --output out/demo

lint: $(VENV)/.installed-test  ## format, lint, types, and which room may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml

SECOND := tests/cli tests/serving tests/runtime

test: lint  ## lint and the whole suite, two parts at once; trainings in a process apart from the other runtimes
	@mkdir -p out
	@{ $(BIN)/python -m pytest $(SECOND) && $(BIN)/python -m pytest tests/training; } > out/tests.log 2>&1 & second=$$!; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(SECOND) tests/training); first=$$?; \
	wait $$second; second=$$?; cat out/tests.log; exit $$((first | second))

fast: $(VENV)/.installed-test  ## what goes wrong most often, in under half a minute: for while you work
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -m "not slow" --durations=3 $(FAST)

docs: $(VENV)/.installed-test  ## the site into out/site; a broken link or a public name without docstring fails
	$(BIN)/mkdocs build --strict

hooks: $(VENV)/.installed-test  ## run the linters before each commit
	$(BIN)/python -m pip install --quiet pre-commit
	$(BIN)/pre-commit install

fuzz: $(VENV)/.installed-test  ## CASES damaged files for every reader (default 100000)
	FSIDFUSION_FUZZ=$(or $(CASES),100000) $(BIN)/python -m pytest -m long tests

bench: $(VENV)/.installed-test  ## time the metrics, a cold start and the networks; ratios within one run
	$(BIN)/python scripts/bench_metrics.py
	$(BIN)/python scripts/bench_start.py
	$(BIN)/python -m fsidfusion benchmark speed --quick

$(VENV)/.installed-torch: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[torch]'
	touch $@

onnx: $(VENV)/.installed-torch  ## write the ONNX files beside the shipped weights again, after these were replaced
	$(BIN)/python -m fsidfusion.runtime.export

train-smoke: $(VENV)/.installed-torch  ## prepare the example pairs and train the light network on them for a minute
	rm -rf out/smoke
	$(BIN)/python -m fsidfusion data prepare --ir examples/ir --vis examples/vis --patch 0 -o out/smoke/cache
	$(BIN)/python -m fsidfusion train --data out/smoke/cache -o out/smoke/run --preset light \
		--set fusion_epochs=1 steps_per_epoch=200 validate_every=0

clean:  ## remove what the targets made
	rm -rf $(VENV) out
