# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries of the managed host's Python: what a module says where one is missing or too old."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ansible_collections.bridgework.network.plugins.module_utils import _ansible

LOWEST = {"pyroute2": "0.7.2", "netaddr": "0.8"}


class Refused(Exception):
    pass


class Begun(Exception):
    """The module has gone on to its arguments."""


class Module:
    """As much of an AnsibleModule as is used until then."""

    params: Mapping[str, Any] = {}

    def fail_json(self, msg: str) -> NoReturn:
        raise Refused(msg)


class Site:
    """A directory of libraries, the only ones that Python finds."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory, self._monkeypatch = directory, monkeypatch
        for name, version in LOWEST.items():
            self.install(name, version)

    def install(self, name: str, version: str) -> None:
        """The library, instead of the one of another version."""
        (self._directory / name).mkdir(exist_ok=True)
        (self._directory / name / "__init__.py").touch()
        self.drop_metadata(name)
        metadata = self._directory / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="ascii")

    def drop_metadata(self, name: str) -> None:
        for metadata in self._directory.glob(f"{name}-*.dist-info/METADATA"):
            metadata.unlink()
            metadata.parent.rmdir()

    def drop_code(self, name: str) -> None:
        (self._directory / name / "__init__.py").unlink()
        (self._directory / name).rmdir()

    def refusal(self) -> str | None:
        """What a module says that is started with these libraries; None where it takes them."""

        def read(_params: Mapping[str, Any]) -> NoReturn:
            raise Begun

        with self._monkeypatch.context() as patch:
            without = [path for path in sys.path if not any((Path(path) / name).exists() for name in LOWEST)]
            patch.setattr(sys, "path", [str(self._directory), *without])
            for name in LOWEST:
                patch.delitem(sys.modules, name, raising=False)
            try:
                _ansible.run(Module(), read, read, read)  # type: ignore[arg-type]
            except Begun:
                return None
            except Refused as refused:
                return str(refused)
        raise AssertionError("not reached")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """With the lowest versions that will do."""
    return Site(tmp_path, monkeypatch)


def tells(refusal: str | None, name: str) -> bool:
    """Whether it names what is wanted, and both ways to get it."""
    words = (
        f"required Python library ({name} >= {LOWEST[name]})",
        f"pip install {name})",
        f"(python3-{name} on Debian, Ubuntu and Fedora)",
    )
    return refusal is not None and all(each in refusal for each in words)


def test_lowest_versions_will_do(site: Site) -> None:
    assert site.refusal() is None


@pytest.mark.parametrize("name", LOWEST)
def test_missing_library_is_refused(site: Site, name: str) -> None:
    site.drop_metadata(name)
    site.drop_code(name)
    assert tells(site.refusal(), name)


@pytest.mark.parametrize("name", LOWEST)
def test_metadata_alone_is_no_library(site: Site, name: str) -> None:
    site.drop_code(name)
    assert tells(site.refusal(), name)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pyroute2", "0.7.1"),
        ("pyroute2", "0.7"),
        ("pyroute2", "0.6.13"),
        ("pyroute2", "0.6.13.post9"),
        ("netaddr", "0.7.20"),
        ("netaddr", "0.7"),
    ],
)
def test_older_library_is_refused(site: Site, name: str, version: str) -> None:
    site.install(name, version)
    assert tells(site.refusal(), name)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pyroute2", "0.7.2.post1"),
        ("pyroute2", "0.7.12"),
        ("pyroute2", "0.8"),
        ("pyroute2", "0.10.0"),
        ("pyroute2", "1"),
        ("netaddr", "0.8.0"),
        ("netaddr", "0.10.1"),
        ("netaddr", "1.3.0"),
        ("netaddr", "1.3.0+dfsg.1"),
    ],
)
def test_newer_library_will_do(site: Site, name: str, version: str) -> None:
    site.install(name, version)
    assert site.refusal() is None


@pytest.mark.parametrize("name", LOWEST)
def test_library_that_does_not_tell_its_version_will_do(site: Site, name: str) -> None:
    """Copied into place, or frozen."""
    site.drop_metadata(name)
    assert site.refusal() is None


@pytest.mark.parametrize("name", ["pyroute2", "netaddr"])
def test_library_with_the_folder_of_another_that_was_uninstalled_badly_is_too_old(site: Site, name: str) -> None:
    site.drop_metadata(name)
    (site._directory / f"{name}-9.9.dist-info").mkdir()
    assert tells(site.refusal(), name)
