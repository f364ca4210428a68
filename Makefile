# One command each: `make demo` trains and shows, `make test` proves, `make check` writes benchmarks/results/; `make help` lists.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
KEPT := runs/check
CHECKS := lab extractors speed kill measures worlds texts cures doctor conditions stopping maze

.PHONY: demo test check lint help $(CHECKS:%=check-%)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## faces: trained for 8 minutes, drawn from, evaluated, reported
	$(BIN)/sparring train faces --size 32 --minutes 8 --run $(RUN)
	$(BIN)/sparring sample $(RUN) -n 64
	$(BIN)/sparring evaluate $(RUN) --against faces
	$(BIN)/sparring report $(RUN)

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: $(READY) lint  ## the laws, under 8 minutes of two cores
	$(BIN)/pytest -n 2

help:  ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

# Times are of one core, or as said, by the files themselves: other work ran beside.  What the long ones have played lies in
# $(KEPT): they go on where they were stopped, and begin anew once that is removed.  `check` plays all, whichever fails.
check: $(READY)  ## benchmarks/results/, whole, one check after another: half a day
	$(MAKE) --keep-going $(CHECKS:%=check-%)

$(CHECKS:%=check-%): $(READY) | $(KEPT)
$(KEPT):
	mkdir -p $(KEPT)

check-lab:  ## lab.json, docs/lab.md: 5 minutes
	$(BIN)/python benchmarks/lab.py

check-extractors:  ## extractors.json: minutes
	$(BIN)/python benchmarks/extractors.py --rounds 7 --seeds 2

check-speed:  ## speed.json: minutes
	$(BIN)/python benchmarks/speed.py

check-kill:  ## kill.json: minutes
	$(BIN)/python benchmarks/kill.py

check-measures:  ## measures.json: half an hour
	$(BIN)/python benchmarks/measures.py

check-worlds:  ## ring, grid, digits, stacked-digits, faces and, if SPARRING_DATA has it, mnist: 5 hours of two cores
	$(BIN)/python benchmarks/check.py ring grid ring-adam grid-adam digits stacked-digits faces-32 faces-32-not-lazy faces-32-adam faces-64 faces-64-adam mnist

check-texts:  ## sequences-*.json and, if SPARRING_DATA has the captions, texts-coco.json: 3 hours
	$(BIN)/python benchmarks/sequences.py --afresh grammar gumbel likelihood pretrained english oracle oracle-likelihood small anchors controls speed
	$(BIN)/python benchmarks/texts.py coco --keep $(KEPT)/texts

check-cures:  ## ablation.json: 1 hour 20
	$(BIN)/python benchmarks/ablation.py ring grid stacked-digits --keep $(KEPT)/ablation.jsonl

check-doctor:  ## faults.json, docs/faults.png: 1 hour 30
	$(BIN)/python benchmarks/faults.py --log $(KEPT)/faults.jsonl
	$(BIN)/python benchmarks/faults.py --log $(KEPT)/faults.jsonl --seeds 5,6 --only healthy
	$(BIN)/python benchmarks/faults_judged.py --log $(KEPT)/faults.jsonl --write --picture docs/faults.png

check-conditions:  ## conditions.json: 8 hours
	$(BIN)/python benchmarks/conditions.py digits --seeds 3 --samples 45632 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py mnist --seeds 3 --samples 98272 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py faces --rows captions --seeds 3 --samples 400000 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py faces --rows unconditional --seeds 1 --samples 400000 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py faces --rows "words not named;one other pair;without the third pair" --seeds 1 --samples 200000 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py faces --rows "half the batch" --seeds 3 --samples 200000 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py told --seeds 1 --samples 45632 --keep $(KEPT)/conditions
	$(BIN)/python benchmarks/conditions.py joins --seeds 1 --samples 32000 --keep $(KEPT)/conditions

check-stopping:  ## stopping.json: hours, not timed yet
	$(BIN)/python benchmarks/stopping.py --log $(KEPT)/stopping.jsonl

check-maze:  ## maze-32.json: 5 hours
	$(BIN)/python benchmarks/maze.py --rows "gan,in turn" --seeds 3 --keep $(KEPT)/maze
	$(BIN)/python benchmarks/maze.py --rows l2,short,patches,steady,plain,adrift --seeds 1 --keep $(KEPT)/maze
