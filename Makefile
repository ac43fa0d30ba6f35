# What CI runs, and its parts.
.PHONY: check lint test slow docs

check:
	.ci/run

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	pytest

slow:
	pytest -m slow
	pytest -m slurm

docs:
	pip install --quiet -e '.[docs]'
	mkdocs build --strict
