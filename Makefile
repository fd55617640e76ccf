# The front door.  Everything real is in CMakeLists.txt and scripts/.
BUILD ?= build
NAME  ?=
ROW   ?=

all: setup
	@scripts/build $(BUILD)

setup:
	@scripts/setup

demo: all
	@scripts/demo $(BUILD)

demo-edge: all
	@scripts/setup --edge
	@scripts/demo-edge $(BUILD)

demo-llm: all
	@scripts/setup --models
	@scripts/demo-llm $(BUILD)

test: setup
	@scripts/setup --test
	@scripts/build $(BUILD)
	@scripts/test $(BUILD)

test-asan:
	@scripts/build $(BUILD)-asan -DTERN_SANITIZE=address,undefined
	@scripts/test $(BUILD)-asan --unit

test-tsan:
	@scripts/build $(BUILD)-tsan -DTERN_SANITIZE=thread
	@scripts/test $(BUILD)-tsan --unit

test-valgrind:
	@scripts/setup --test --lint
	@scripts/build $(BUILD)
	@scripts/test $(BUILD) --valgrind

check-rtl: all
	@scripts/setup --rtl
	@scripts/check-rtl $(BUILD)

lint:
	@scripts/setup --lint
	@scripts/lint

bench: all
	@scripts/bench $(BUILD) $(NAME)

proof: all
	@scripts/setup --proof
	@scripts/proof $(BUILD) $(ROW)

fuzz:
	@scripts/setup --lint
	@scripts/fuzz "$(NAME)" $(or $(SECONDS),60)

install: all
	@cmake --install $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan

.PHONY: all setup demo demo-edge demo-llm test test-asan test-tsan test-valgrind check-rtl lint bench proof fuzz install clean
