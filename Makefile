# One command each: `make demo` trains and shows, `make test` proves, `make check` writes benchmarks/results/.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check lint

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/sparring train faces --size 32 --minutes 8 --run runs/demo
	$(BIN)/sparring sample runs/demo -n 64 --out runs/demo/drawn.png
	$(BIN)/sparring evaluate runs/demo --against faces
	$(BIN)/sparring report runs/demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: $(READY) lint
	$(BIN)/pytest -n 2

check: $(READY)
	$(BIN)/python benchmarks/check.py
