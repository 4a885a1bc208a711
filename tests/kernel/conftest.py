# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the kernel tests: a host of its own for each test costs less than cleaning up a shared one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.register_assert_rewrite("kernel.support")

from kernel.needs import require  # noqa: E402
from kernel.support import Driver, Managed  # noqa: E402

from lab import Lab  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            item.add_marker(pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_kernel"):
        require(*marker.args)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Host, peer, router and remote."""
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def backend(request: pytest.FixtureRequest) -> str:
    """The firewall backend of the host of tests that ask for it: they run on each."""
    return request.param


@pytest.fixture
def managed(request: pytest.FixtureRequest, driver: Driver) -> Iterator[Managed]:
    """The host of `lab` where the test asks for that too, else a host on its own."""
    asked = request.fixturenames
    backend = request.getfixturevalue("backend") if "backend" in asked else "iptables"
    if "lab" in asked:
        yield Managed(request.getfixturevalue("lab").host, driver, backend)
    else:
        with Lab(["host"]) as lone:
            yield Managed(lone.host, driver, backend)


@pytest.fixture(scope="session")
def drivers(driver: Driver) -> Iterator[Sequence[Driver]]:
    """Several, for tests that use hosts at the same time: most of what a task takes is waiting for the kernel."""
    others = [Driver() for _round in range(3)]
    yield [driver, *others]
    for other in others:
        other.close()
