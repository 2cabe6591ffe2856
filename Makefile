.PHONY: setup demo test clean
PYTHON := .venv/bin/python

setup:
	./setup.sh

# Make the embedded data, train an RGB and a DCT-24 network on it, print the table.
demo: setup
	$(PYTHON) -m prepixel.cli demo --output runs/demo

test: setup
	$(PYTHON) -m pytest

clean:
	rm -rf build .venv src/prepixel/*.so
