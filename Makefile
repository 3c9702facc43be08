PYTHON ?= python3

.PHONY: demo test check clean

demo: .venv/runtime
	.venv/bin/beautynet demo

# several at once, each on one core: with a thread for each core they would wait for each other
test: .venv/dev
	OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/mypy --platform win32 beautynet

.venv/runtime: pyproject.toml | .venv/bin/pip
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/dev: pyproject.toml | .venv/bin/pip
	.venv/bin/pip install --quiet --editable '.[dev]'
	touch $@ .venv/runtime

.venv/bin/pip:
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
