# make demo   swap the sample selfie into the sample clip
# make test   run the tests
# make check  ruff and mypy
# Each makes the virtual environment first, if need be: VENV says where, PYTHON of what.

VENV ?= .venv
ALLOWED = 3.11 to 3.14
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.14,\
  $(shell $(name) -c '$(FITS)' >/dev/null 2>&1 && echo $(name))) python3)
PIP = $(VENV)/bin/pip --disable-pip-version-check install
CV2 = $$($(VENV)/bin/python -c 'from importlib.metadata import version; print(version("opencv-python"))')
TORCH = torch==2.13.0
CPU_INDEX = https://download.pytorch.org/whl/cpu

.PHONY: demo test check clean python

demo: $(VENV)/.installed
	@mkdir -p runs
	$(VENV)/bin/vidswap swap samples/clip.mp4 --face samples/selfie.jpg --consent self \
	  -o runs/demo.mp4 --sheet runs/demo.png
	@echo "the film: $(CURDIR)/runs/demo.mp4"
	@echo "before and after: $(CURDIR)/runs/demo.png"

test: $(VENV)/.tested
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: $(VENV)/.tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) runs build *.egg-info

# Before anything is loaded.
python:
	@$(PYTHON) -c '$(FITS)' 2>/dev/null || { echo "vidswap needs Python $(ALLOWED); $(PYTHON) is" \
	  "$$($(PYTHON) --version 2>/dev/null || echo none). Install one, or name it: make demo PYTHON=python3.13" >&2; \
	  exit 1; }

# torch by its own, first: the build for the CPU alone is a tenth of the one with CUDA in it, which is what PyPI has for
# Linux. It is taken from pip's own sources where these have it ("2.13.0+cpu"), else from PyTorch's index, else as is.
# The last step: insightface and scenedetect ask for opencv-python, which will not load on a machine without a desktop's
# libraries (libxcb, libGL); the headless build of the same version is laid over it.
$(VENV)/.installed: pyproject.toml | python
	$(PYTHON) -m venv $(VENV)
	@echo "Loading 500 MB into $(VENV), which will take 1.8 GB: some minutes. First torch, 190 MB:"
	@test "$$(uname -s)" = Linux && { $(PIP) --retries 0 "$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) --timeout 10 --retries 0 --index-url $(CPU_INDEX) "$(TORCH)" 2>/dev/null \
	  || { echo "No torch for the CPU alone can be had here: it comes with CUDA, 2.5 GB more to load," \
	    "3.6 GB more of disk."; false; }; } \
	  || $(PIP) "$(TORCH)"
	@echo "Then vidswap, and all else that it needs:"
	$(PIP) --editable .
	$(PIP) --quiet --force-reinstall --no-deps "opencv-python-headless==$(CV2)"
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --quiet --editable '.[test]'
	@touch $@
