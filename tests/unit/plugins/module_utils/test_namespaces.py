# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names below /run/netns with no namespace behind them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import NamespaceGone
from ansible_collections.bridgework.network.plugins.module_utils._kernel import namespaces
from ansible_collections.bridgework.network.plugins.module_utils._kernel.tables import Tables


def test_file_that_is_a_namespace_no_more_is_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ip netns add` makes the file before the namespace is mounted there; whoever was told otherwise looks again."""
    monkeypatch.setattr(namespaces, "DIRECTORY", str(tmp_path))
    (tmp_path / "web").touch()
    with closing(namespaces.Namespaces()) as found, pytest.raises(NamespaceGone):
        Tables(found).links("web")
