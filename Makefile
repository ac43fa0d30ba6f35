# What CI runs, and its parts.
.PHONY: check lint test slow walks docs tutorial zoo

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

# Runs the notebook (minutes) and makes its page, its figures and the .ipynb anew.
tutorial:
	python docs/tutorial/make_page.py --run

# The tables of docs/model-zoo.md.
zoo:
	python tests/models/zoo_table.py
