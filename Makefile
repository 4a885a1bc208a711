# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
SCENARIO ?=
STEP ?= test
EXAMPLES ?= 300
PARSERS := $(addprefix tests/unit/plugins/module_utils/,test_portspec.py test_intent_ports.py test_reserved.py test_flows.py \
	test_iptables.py test_port_tree.py test_nftables.py)
QUICK ?=
TEST ?=
VERSION ?=

export PYTHON
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
export PYTHONPATH := $(CURDIR)/.cache/collections:$(CURDIR)/tests
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.cache/collections
export ANSIBLE_CONNECTION_PLUGINS := $(CURDIR)/tests/lab/ansible/connection
# Ansible refuses to run in a locale that is not UTF-8, and keeps its files out of the user's home here.
export LC_ALL := C.UTF-8
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export ANSIBLE_REMOTE_TMP := $(CURDIR)/.cache/ansible/tmp
export ANSIBLE_ASYNC_DIR := $(CURDIR)/.cache/ansible/async
export ANSIBLE_PIPELINING := true
export MOLECULE_COMMAND_BORDERS := false
# reuse would otherwise want libmagic of the system.
export REUSE_ENCODING_MODULE := charset_normalizer

.DEFAULT_GOAL := help
.PHONY: help demo test lint sanity units ansible-test unit kernel fuzz matrix compare bench vm machines integration molecule docs docs-lint galaxy guides clean setup setup-sanity setup-demo setup-dev

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 21

demo: setup-demo ## build the collection, and show it at work on a throwaway host (root)
	@scripts/artefact
	@PYTHONPATH=$(CURDIR)/tests ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.cache/artefact scripts/demo

# Everything is installed before, since the rows run at the same time.
test: setup ## lint, unit, kernel, integration, molecule, guides, docs-lint and demo, in three rows (root)
	@scripts/setup docs guides
	@scripts/parts kernel -- integration guides demo -- lint unit molecule docs-lint

lint: setup-dev ## style, types, Ansible's rules, changelog, licences, Python 3.9 in plugins/
	@ruff check
	@ruff format --check
	@mypy
	@ansible-lint
	@antsibull-changelog lint
	@reuse lint --quiet || reuse lint
	@vermin --quiet --no-tips --target=3.9- --violations plugins tests/unit/plugins

sanity: setup-sanity ## ansible-test sanity, with nothing ignored; TEST=pylint for one of its tests
	@scripts/ansible-test sanity $(if $(TEST),--test $(TEST))

units: setup-sanity ## ansible-test units, by every Python that this machine has; VERSION=3.9 for one of them
	@scripts/ansible-test units --venv --requirements $(if $(VERSION),--python $(VERSION))

ansible-test: setup sanity units ## ansible-test: sanity, units, and integration on throwaway hosts (root)
	@scripts/ansible-test integration

unit: setup-dev ## what needs neither root nor a network
	@pytest -q tests/unit

kernel: setup ## real packets between throwaway hosts (root)
	@pytest -q -rs -n 6 tests/kernel

fuzz: setup ## the parsers with more texts, and long random sequences of calls; EXAMPLES=300 (root)
	@BRIDGEWORK_EXAMPLES=$(EXAMPLES) pytest -q -n 2 $(PARSERS)
	@BRIDGEWORK_EXAMPLES=$(EXAMPLES) pytest -q tests/kernel/test_stateful.py

vm: setup ## in a virtual machine: what needs another kernel, and containers of real runtimes (root)
	@scripts/vm
	@scripts/machines

machines: setup ## README, roles and guides by ssh, on two virtual machines with systemd; SCENARIO=service for one part (root)
	@scripts/machines $(SCENARIO)

matrix: setup ## other versions of ansible-core, Python, pyroute2 and firewalls, into docs/matrix.md (root)
	@scripts/pythons >/dev/null
	@tests/matrix/run

compare: setup ## the same playbook against a real Docker daemon and here, in .cache/docker (root)
	@tests/compare/setup
	@pytest -q tests/compare

bench: setup ## speed, beside netavark, CNI and Docker, into docs/performance.md; 25 minutes, QUICK=1 for 3 (root)
	@tests/compare/setup
	@benchmarks/setup
	@PYTHONPATH="$(CURDIR):$(PYTHONPATH)" python -m benchmarks $(if $(QUICK),--quick)

integration: setup ## each module through ansible-playbook (root)
	@tests/integration/run

molecule: setup ## roles on throwaway hosts; SCENARIO=custom_network STEP=converge for a part of it (root)
	@molecule -c molecule/config.yml $(STEP) $(or $(addprefix -s ,$(SCENARIO)),--all)

guides: setup ## what the guides show, followed on throwaway hosts (root)
	@scripts/setup guides
	@pytest -q -n 2 tests/docs

docs-lint: setup-dev ## documentation and references of plugins and roles
	@scripts/setup docs
	@antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all --check-extra-docs-refs --skip-rstcheck \
	  $(ANSIBLE_COLLECTIONS_PATH)/ansible_collections/bridgework/network

galaxy: setup-dev ## what Galaxy's importer and ansible-builder say of the collection as it is built
	@scripts/galaxy

docs: setup-dev ## the documentation as HTML, in .cache/docs/html
	@scripts/setup docs
	@scripts/docs

clean: ## remove all that was installed or written here
	@rm -rf .venv .cache .ansible .hypothesis .pytest_cache .ruff_cache tests/output *.tar.gz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@scripts/setup system dev

setup-sanity:
	@scripts/setup sanity dev

setup-demo:
	@scripts/setup system demo

setup-dev:
	@scripts/setup dev
