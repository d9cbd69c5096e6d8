# Set-up, window, tests and checks. `make run` and `make test` start from a bare Debian 12 with python3, python3-venv
# and make; what is installed once is installed again only when its list changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# What Qt needs to draw offscreen, then on an X screen, then under Wayland.
QT_PACKAGES := libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon0 fonts-dejavu-core \
	libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxcb-randr0 \
	libwayland-cursor0 libwayland-egl1
# The tests ask these for a second opinion on exported DICOM wherever they are installed.
DICOM_PACKAGES := dcmtk dicom3tools

# $(call debian,PACKAGES): installs what is missing as root; says what to install and goes on as anyone else.
define debian
	@command -v dpkg-query >/dev/null || { echo "Not Debian: see to the equivalents of $(1)."; exit 0; }; \
	missing=(); \
	for package in $(1); do \
		dpkg-query -W -f '$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); \
	done; \
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ]; then \
		echo "Missing system packages; if Qt does not start, run this once:"; \
		echo "    sudo apt-get install $${missing[*]}"; \
		exit 0; \
	fi; \
	echo "Installing $${missing[*]}"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq; \
	apt-get install -qq -y --no-install-recommends "$${missing[@]}" >/dev/null
endef

.PHONY: help
help: ## lists these commands
	@sed -n 's/^\([a-z]*\):.*## /    make \1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

.PHONY: run
run: qt $(READY) ## opens the workstation on the demo study; without a display does the same job and says where it went
	@if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ] || [ "$$(uname)" = Darwin ]; then \
		exec $(BIN)/mri-workstation --demo $(ARGS); \
	fi; \
	QT_QPA_PLATFORM=offscreen exec $(BIN)/mri-workstation demo --reconstruct --out output $(ARGS)

.PHONY: test
test: qt $(READY) ## runs the tests, in up to four processes
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: qt $(READY) ## the benchmark
	@QT_QPA_PLATFORM=offscreen $(BIN)/mri-workstation bench $(ARGS)

.PHONY: system
system: ## Debian packages for Qt and for checking DICOM (installs them as root)
	$(call debian,$(QT_PACKAGES) $(DICOM_PACKAGES))

.PHONY: qt
qt:
	$(call debian,$(QT_PACKAGES))

# torch goes first and under the constraint, so that pip takes the build that the machine offers and never another.
# The version stands in recon/__init__.py, hence the third prerequisite.
$(READY): pyproject.toml constraints.txt recon/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up .venv (some minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) torch
	@$(PIP_INSTALL) hatchling
	@$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
