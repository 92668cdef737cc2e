# Each command sets up all that it needs; a second call installs nothing again.
PYTHON ?= python3
PORT ?= 8501
SERVE ?= 1
BIN := .venv/bin
INSTALLED := .venv/installed
# Two processes of one thread each; a file's tests stay together, because they share what is dear to make.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: setup demo test check format

setup: $(INSTALLED)

# UV_TORCH_BACKEND (cpu, cu130, ...) chooses a smaller or another build of torch; uv reads it by itself.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/inspect-fer demo $(if $(filter 0,$(SERVE)),--no-serve) --port $(PORT)

test: $(INSTALLED)
	$(TEST) -m 'not slow'

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST)

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
