# What CI runs, and its parts.
.PHONY: check lint test slow walks docs

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
	pytest -m 'slurm and not walk'

walks:
	VCTRAIN_WALKS=all pytest -m walk

docs:
	pip install --quiet -e '.[docs]'
	mkdocs build --strict
