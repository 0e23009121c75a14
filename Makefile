# Each target sets up all that it needs, the virtual environment included: a Debian with make and Python 3.11 will do.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test quick nightly lint types references devices gallery site-tools docs clean

# what `make devices` fetches, and where the tests look for it; they skip what is not there
export CNNZOO_ARM64 ?= $(CURDIR)/.devices/arm64
export CNNZOO_LITERTJS ?= $(CURDIR)/.devices/node_modules

demo: $(READY)  ## train, export, verify and measure a small network
	$(BIN)/cnnzoo demo --out demo --force

test: $(READY)  ## every test but the nightly ones
	$(BIN)/pytest -n 2 --dist loadfile

quick: $(READY)  ## the tests that take minutes left out
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

nightly: $(READY)  ## every test
	$(BIN)/pytest -n 2 --dist loadfile --nightly

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## on the package as it installs, since a type checker does not see mapped folders
	rm -rf build/types
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --target build/types .
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml -p keras_cnnzoo

references: $(READY)  ## torch's reference implementations and the other backends, for the tests that skip without them
	$(BIN)/pip install 'torch==2.13.0+cpu' || $(BIN)/pip install 'torch==2.13.0'
	$(BIN)/pip install jax pyyaml
	$(BIN)/pip install --no-deps torchvision==0.15.2 timm

devices: $(READY)  ## Chromium, LiteRT.js, sshd, adb and an arm64 LiteRT under qemu, as root on Debian; each may fail alone
	-apt-get update -qq && apt-get install -y -qq --no-install-recommends adb chromium chromium-driver openssh-client openssh-server perl
	-npm install --silent --prefix .devices @litertjs/core@2.5.3
	-PIP=$(abspath $(BIN))/pip bash tests/bench/arm64.sh $(CNNZOO_ARM64)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment: apt-get install python3-venv, then once more"; exit 1; }
	$(BIN)/pip install --disable-pip-version-check -e '.[dev]'
	@touch $@

GALLERY := alexnet vgg16 googlenet inception_v3 inception_resnet_v2 resnet50 resnet50_v2 wide_resnet50_2 \
  resnext50_32x4d densenet121 seresnet50 squeezenet1_1 xception mobilenet_v2 shufflenet_v2_x1_0

gallery: $(READY)  ## the README's pictures
	for name in $(GALLERY); do $(BIN)/cnnzoo plot $$name -o docs/gallery/$$name.svg --force; done

site-tools: $(READY)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[docs]'

docs: site-tools  ## the documentation site, strictly, in build/site; nothing is fetched while it is built
	$(BIN)/mkdocs build -q

clean:
	rm -rf $(VENV) .devices build demo
