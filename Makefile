PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fast lint bench train-smoke clean

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

test: lint  ## lint and the whole suite
	$(BIN)/python -m pytest

bench: $(VENV)/.installed-test  ## time the metrics and the networks; ratios within one run
	$(BIN)/python -m fsidfusion benchmark metrics
	$(BIN)/python -m fsidfusion benchmark speed --quick

train-smoke: $(VENV)/.installed  ## prepare the example pairs and train the light network on them for a minute
	rm -rf out/smoke
	$(BIN)/python -m fsidfusion data prepare --ir examples/ir --vis examples/vis --patch 0 -o out/smoke/cache
	$(BIN)/python -m fsidfusion train --data out/smoke/cache -o out/smoke/run --preset light \
		--set fusion_epochs=1 steps_per_epoch=200 validate_every=0

clean:  ## remove what the targets made
	rm -rf $(VENV) out
