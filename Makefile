# make, make install, make installcheck: as for every PostgreSQL extension; PG_CONFIG= is honoured.
# make demo, make psql, make test, make lint: on a private copy of the server and clusters of their own.

EXTENSION = synapsor
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
# The folders too: a deleted source must leave the script.
SOURCES := $(wildcard sql/[0-9][0-9]_*/ sql/[0-9][0-9]_*/*.sql \
    plpython/synapsor_plpython/ plpython/synapsor_plpython/*.py)
DATA = $(wildcard sql/releases/*.sql) sql/psql/synapsor.psql
DATA_built = build/$(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = build
NO_INSTALLCHECK = 1

PG_CONFIG ?= pg_config
PYTHON3 ?= python3
export PYTHONDONTWRITEBYTECODE = 1

# A bare machine has no PGXS yet; the targets that prepare one must work nevertheless.
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
.PHONY: all install
all: $(DATA_built)
install:
	@echo "make install needs PGXS: install PostgreSQL's development files, or set PG_CONFIG" >&2; exit 1
endif

$(DATA_built): sql/assemble.py $(EXTENSION).control $(SOURCES)
	@mkdir -p build
	$(PYTHON3) sql/assemble.py install > $@.new
	@mv $@.new $@

.PHONY: installcheck
installcheck:
	PG_CONFIG=$(PG_CONFIG) tests/support/installcheck

# ---- everything below works on the private server --------------------------------------------------

VENV = .venv/bin
LINTED_SQL = $(wildcard sql/*_*/ sql/upgrades/ tests/database/ tests/upgrade/)

.PHONY: help prepare private demo psql stop test pytest lint bench bench-quick

help:
	@echo 'make demo            the whole story on a private PostgreSQL, narrated'
	@echo 'make psql, stop      open the database of the demo; stop its server'
	@echo 'make test            all tests, then all linters'
	@echo 'make pytest ARGS=…   some tests; make lint: the linters alone'
	@echo 'make bench           measure against the leanest schema, and plans; make bench-quick: shorter'
	@echo 'make, make install, make installcheck     as for every extension, PG_CONFIG= is honoured'

prepare:
	@PG_CONFIG=$(if $(filter file,$(origin PG_CONFIG)),,$(PG_CONFIG)) tests/support/prepare

private: prepare
	@tests/support/private_install

demo: private
	@tests/support/demo

psql: prepare
	@tests/support/open_psql

stop:
	@. .run/environment && $(PYTHON3) tests/support/cluster.py stop "$$ROOT/demo"

lint: prepare
	@tests/support/lint $(LINTED_SQL)

# Style never hides the result.
test: pytest
	@$(MAKE) --no-print-directory lint

pytest: prepare
	$(VENV)/python -m pytest $(ARGS)

bench: private
	$(VENV)/python tests/benchmark/bench.py $(ARGS)

bench-quick: private
	$(VENV)/python tests/benchmark/bench.py --quick $(ARGS)
