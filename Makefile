# `make help` lists what there is. PYTHON chooses the interpreter: make book PYTHON=python3.12
PYTHON   ?= python3
VENV     ?= .venv
BIN      := $(VENV)/bin
# empty: warnings are shown; .ci/run passes "-W -n --keep-going", which turns them into errors
SPHINXOPTS ?=
# one process per core is enough for small images; torch would otherwise start threads on top
TEST_ENV := OMP_NUM_THREADS=1 TQDM_DISABLE=1 PYDEVD_DISABLE_FILE_VALIDATION=1
# seconds that one cell may take: no limit for a reader, whose machine may be slow or busy; the
# tests have one, so that a cell that hangs is noticed
CELL_TIMEOUT ?=
TEST_TIMEOUT := $(or $(CELL_TIMEOUT),300)
# glibc hands large blocks back to the system and asks for them again at each step of a network;
# where it keeps them, a run is a seventh faster, to the same bit. Other systems ignore both.
KEEP_MEMORY  := MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=2000000000
EXECUTE      := $(KEEP_MEMORY) $(BIN)/python book/_tools/execute.py $(if $(CELL_TIMEOUT),--timeout $(CELL_TIMEOUT))
WORKERS  ?= 2

CHAPTERS := $(sort $(wildcard book/*.ipynb))
# HSEM_MODEL=owner/name make book: the whole book about another model, beside this one
RUN      := _build/executed$(if $(HSEM_MODEL),-$(subst /,-,$(HSEM_MODEL)))
ifneq ($(HSEM_MODEL),)
ifneq ($(wildcard $(HSEM_MODEL)/.),)
# chapters run in book/
override HSEM_MODEL := $(abspath $(HSEM_MODEL))
endif
export HSEM_MODEL
endif
EXECUTED := $(CHAPTERS:%=$(RUN)/%)
PAGES    := _config.yml _toc.yml $(wildcard book/*.md book/*.bib)
FOLDERS  := $(filter-out book/__pycache__,$(patsubst %/,%,$(wildcard book/*/)))
LIBRARY  := $(shell find hsem -type f -not -name '*.pyc' 2>/dev/null)

# of `make results`, in the order in which they begin; what follows a hyphen is a variant
RESULTS  := named factors principal table_one table_one-half real_faces learning named-obeys named-mouth controls geometry \
    geometry-obeys geometry-mouth steps asyrp regions detector ages given pairs table_one-more table_one-double transfer \
    arithmetic untangling sequence swap expressions moments
DONE     := _build/results
JOBS     ?= 2
THREADS   = $$(n=$$(getconf _NPROCESSORS_ONLN); echo $$((n > $(JOBS) ? n / $(JOBS) : 1)))
TAKEN    := $(filter-out hsem/data/results/%,$(LIBRARY))

.DEFAULT_GOAL := help
.PHONY: help setup setup-test book html figures results test colab lab live lint format notebooks numbers address clean distclean
.DELETE_ON_ERROR:

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# -- environment: each step leaves a stamp, and runs again when what it depends on has changed --

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] and "hsem needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	touch $@

# torch first and alone: it is the large one, and the others then find it in place
$(VENV)/.torch: $(VENV)/.created constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt torch
	touch $@

$(VENV)/.book: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[book]'
	touch $@

$(VENV)/.test: $(VENV)/.book
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[book,test]'
	touch $@

$(VENV)/.lab: $(VENV)/.book
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[book,lab]'
	touch $@

# MathJax and the widget renderer, so that the pages need no internet
# (the last file written is the target; without npm the book builds all the same)
book/_static/vendor/NOTICE.txt: book/_tools/assets.py | $(VENV)/.book
	$(BIN)/python book/_tools/assets.py || true

# the model and its runtime for the playground's page; without onnxruntime-web the page says so
book/_static/live/model.js: book/_static/vendor/NOTICE.txt book/_tools/live.py hsem/network/export.py \
    $(wildcard hsem/data/portraits-64/unet/* hsem/data/portrait-classifier-2/* hsem/data/results/named.safetensors) | $(VENV)/.book
	$(BIN)/python book/_tools/live.py || true

# what checks the pages for people who do not see them, or use no mouse
$(VENV)/axe/axe.min.js: book/_tools/assets.py | $(VENV)/.test
	$(BIN)/python book/_tools/assets.py --axe $(@D) && touch $@

setup: $(VENV)/.book book/_static/vendor/NOTICE.txt book/_static/live/model.js  ## create .venv with the pinned versions, fetch the page assets
setup-test: setup $(VENV)/.test $(VENV)/axe/axe.min.js  ## the same with what the tests need

# -- the book --

book: setup $(EXECUTED) $(PAGES:%=$(RUN)/%) $(FOLDERS:%=$(RUN)/%)  ## run every chapter here, then build the pages
	rm -rf _build/html
	$(BIN)/jupyter-book build $(RUN) --path-output . --all -q $(SPHINXOPTS)
	@echo "The book is at $(CURDIR)/_build/html/index.html"

$(RUN)/%.ipynb: %.ipynb $(LIBRARY) book/_tools/execute.py | setup
	@mkdir -p $(@D)
	$(EXECUTE) --output $@ $<

$(PAGES:%=$(RUN)/%): $(RUN)/%: %
	@mkdir -p $(@D)
	cp $< $@

# relative: make splits an absolute path at its spaces
$(FOLDERS:%=$(RUN)/%):
	@mkdir -p $(@D)
	ln -sfn ../../../$(@:$(RUN)/%=%) $@

html: setup  ## build the pages from the stored outputs (seconds)
	rm -rf _build/html
	$(BIN)/jupyter-book build . --all -q $(SPHINXOPTS)
	@echo "The book is at $(CURDIR)/_build/html/index.html"

figures: setup  ## the paper's figures with a model: make figures MODEL=folder or name on the hub
	$(BIN)/python book/_tools/paper_figures.py $(or $(MODEL),random)

# each leaves a stamp when it is there, so that what was stopped goes on with the others; JOBS of
# them side by side are faster than one with all cores
results: setup  ## compute again what the chapters load (about two and a half hours on two fast cores, five on slow ones; goes on where it was stopped; JOBS=2 at a time)
	@mkdir -p $(DONE)
	$(MAKE) --no-print-directory -j $(JOBS) $(RESULTS:%=$(DONE)/%)
	rm -rf $(DONE) _build/cache/parts/crowd-*

$(RESULTS:%=$(DONE)/%): $(DONE)/%: $(TAKEN)
	$(KEEP_MEMORY) TQDM_DESC=$* HSEM_CACHE=_build/cache OMP_NUM_THREADS=$(THREADS) \
	  $(BIN)/python -m hsem.recipes.$(firstword $(subst -, ,$*)) --keep-crowd --output $*
	@touch $@

# what takes another's directions waits for it
NAMED := detector geometry given regions arithmetic asyrp steps sequence controls untangling $(filter table_one%,$(RESULTS))
$(NAMED:%=$(DONE)/%): $(DONE)/named
$(patsubst %,$(DONE)/%,regions transfer moments asyrp steps): $(DONE)/principal
# what begins with the same samples waits for those
$(patsubst %,$(DONE)/%,factors principal ages): $(DONE)/named
$(DONE)/named-mouth: $(DONE)/factors
$(DONE)/geometry-obeys: $(DONE)/named-obeys
$(DONE)/geometry-mouth $(DONE)/untangling: $(DONE)/named-mouth
$(DONE)/arithmetic: $(DONE)/factors
$(DONE)/expressions: $(DONE)/real_faces

live: setup $(VENV)/.lab  ## open the playground in JupyterLab, for any model
	$(BIN)/python book/_tools/live_notebook.py _build/live/playground.ipynb
	$(KEEP_MEMORY) $(BIN)/jupyter-lab _build/live/playground.ipynb

lab: setup $(VENV)/.lab  ## open the chapters in JupyterLab
	$(KEEP_MEMORY) $(BIN)/jupyter-lab book

notebooks: setup  ## run chapters again and store their outputs (ONLY="book/hspace.ipynb" for one)
	$(EXECUTE) $(or $(ONLY),$(CHAPTERS))

numbers: setup  ## write into the text what the stored chapters published
	$(BIN)/python book/_tools/fill.py

# -- checks --

test: setup-test lint html  ## everything: ruff, mypy, pytest, and every chapter executed
	$(TEST_ENV) $(BIN)/python -m pytest tests $(CHAPTERS) --nbval-lax --nbval-current-env \
	  --nbval-cell-timeout=$(TEST_TIMEOUT) -n $(WORKERS) --dist loadscope $(PYTEST_ARGS)

# an environment of its own, and the wheel as Colab gets it; PIP_EXTRA_INDEX_URL as for `test`
colab:  ## a chapter's first cell, all imports and a slider with Colab's versions (PYTHON=python3.12)
	$(PYTHON) -m venv --clear _build/colab
	_build/colab/bin/python -m pip install -q -r book/_tools/colab.txt
	rm -rf _build/wheel && _build/colab/bin/python -m pip wheel -q --no-deps -w _build/wheel .
	_build/colab/bin/python book/_tools/colab.py _build/wheel/hsem-*.whl

lint: $(VENV)/.test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

address:  ## move to another repository: make address NEW=https://github.com/OWNER/NAME
	$(PYTHON) book/_tools/address.py $(NEW)

clean:  ## remove what was built
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean  ## ... and the environment
	rm -rf $(VENV) hsem.egg-info book/_static/vendor book/_static/live
