# One command each: `make demo` trains and shows, `make test` proves, `make check` writes benchmarks/results/.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test check lint

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/sparring train faces --size 32 --minutes 8 --run $(RUN)
	$(BIN)/sparring sample $(RUN) -n 64
	$(BIN)/sparring evaluate $(RUN) --against faces
	$(BIN)/sparring report $(RUN)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: $(READY) lint
	$(BIN)/pytest -n 2

check: $(READY)
	$(BIN)/python benchmarks/lab.py
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/sequences.py grammar gumbel likelihood pretrained english anchors controls speed
