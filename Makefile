.PHONY: setup demo test page docs clean
PYTHON := .venv/bin/python
PREPIXEL := .venv/bin/prepixel

setup:
	./setup.sh

# Fold a pretrained network and ask it about two photos; then make the embedded data, train an RGB, a DCT-24 and a DCT-64 network on it, print the table, draw the curves.
# What is there already is kept: a second run only finishes what a first one left.
demo:
	./setup.sh demo
	$(PYTHON) examples/fold.py
	$(PREPIXEL) fold efficientnet_lite0 --bands S-24 --output runs/demo/lite0_s24.pt --overwrite
	$(PREPIXEL) predict runs/demo/lite0_s24.pt --top 3 \
	    $$($(PYTHON) -c "import sklearn.datasets.images as i; print(i.__path__[0])")
	$(PREPIXEL) synthesize runs/demo/data
	$(PREPIXEL) train recipes/demo_rgb.yaml --output runs/demo/rgb --resume
	$(PREPIXEL) train recipes/demo_dct24.yaml --output runs/demo/dct24 --resume
	$(PREPIXEL) train recipes/demo_dct64.yaml --output runs/demo/dct64 --resume
	$(PREPIXEL) plot runs/demo --output runs/demo/curves.png
	$(PREPIXEL) table runs/demo

test: setup
	$(PYTHON) -m pytest -n 2 --dist loadfile --max-worker-restart=0

# Build the page that shows the method in a browser: into build/site/page, from where the site takes it. Without Emscripten and
# Node it is skipped, and the reason printed. NETWORK is what prepixel export wrote (default: EfficientNet-Lite0).
page: setup
	$(PYTHON) web/build_page.py --output build/site/page --network $(or $(NETWORK),default) --home ../index.html || [ $$? -eq 3 ]

# Build the documentation site into build/docs: warnings are errors, internal links are checked, external ones listed.
docs: setup page
	$(PYTHON) -m pip install -q --disable-pip-version-check -c constraints.txt furo myst-parser sphinx
	$(PYTHON) -m sphinx -q -E -W --keep-going -b html docs build/docs
	$(PYTHON) .ci/links.py build/docs

clean:
	rm -rf build .venv
