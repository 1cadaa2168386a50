# make demo   swap the sample selfie into the sample clip
# make test   run the tests
# make check  ruff and mypy
# Each makes the virtual environment first, if need be: VENV says where.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = $(VENV)/bin/pip --disable-pip-version-check --quiet install
CV2 = $$($(VENV)/bin/python -c 'from importlib.metadata import version; print(version("opencv-python"))')

.PHONY: demo test check clean

demo: $(VENV)/.installed
	@mkdir -p runs
	$(VENV)/bin/vidswap swap samples/clip.mp4 --face samples/selfie.jpg --consent self -o runs/demo.mp4 --sheet runs/demo.png
	@echo "the film: $(CURDIR)/runs/demo.mp4"
	@echo "before and after: $(CURDIR)/runs/demo.png"

test: $(VENV)/.tested
	$(VENV)/bin/python -m pytest

check: $(VENV)/.tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) runs build *.egg-info

# torch by its own, first: where the package index has a build for the CPU alone ("2.13.0+cpu"), the exact version takes
# it, a tenth of the build with CUDA in it. The last step: insightface asks for opencv-python, which will not load on a
# machine without a desktop's libraries (libGL); the headless build of the same version is laid over it.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this takes a few minutes"
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	$(PIP) --force-reinstall --no-deps "opencv-python-headless==$(CV2)"
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	@touch $@
