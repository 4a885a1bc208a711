# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: what is saved is what is loaded, and what must not be declared twice can't be."""

from __future__ import annotations

import sqlite3
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _store
from ansible_collections.bridgework.network.plugins.module_utils._errors import StateError
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger, SavedSysctl
from ansible_collections.bridgework.network.plugins.module_utils._model import (
    Container,
    Endpoint,
    HostPort,
    IpamBlock,
    Network,
    PortMapping,
)
from ansible_collections.bridgework.network.plugins.module_utils._state import State
from ansible_collections.bridgework.network.plugins.module_utils._store import UPGRADES, VERSION, Store, _statements

NOTHING = (State(), Ledger())


def a_network(number: int = 1, name: str = "blue", **more: Any) -> Network:
    block = IpamBlock(f"10.{number}.0.0/16", f"10.{number}.0.1")
    return replace(Network(f"{number:064x}", name, "bridge", f"br{number}", (block,), "2025-01-01"), **more)


def a_container(number: int = 1, name: str = "web", **more: Any) -> Container:
    return replace(Container(f"{number:064x}", name, "bridge", "2025-01-01"), **more)


def an_endpoint(number: int = 1, container: str = "web", network: str = "blue", **more: Any) -> Endpoint:
    endpoint = Endpoint(
        id=f"{number:064x}",
        network=network,
        container=container,
        serial=number,
        addresses=(f"10.1.0.{number + 1}",),
        mac=f"02:00:00:00:00:{number:02x}",
        interface="eth0",
        host_link=f"veth{number}",
    )
    return replace(endpoint, **more)


def a_mapping(host_ip: str = "0.0.0.0", host_port: int = 8000, **more: Any) -> PortMapping:
    return PortMapping("web", "tcp", 80, host_ip, host_port)._replace(**more)


def listening(name: str, host_ip: str, port: int, protocol: str = "tcp", more: str | None = None) -> Container:
    identity = f"{ord(name):064x}"
    ports = tuple(HostPort(protocol, each, port) for each in (host_ip, more) if each is not None)
    return a_container(id=identity, name=name, mode="host", ports=ports)


def a_state(*records: Network | Container | Endpoint | PortMapping) -> State:
    """The network "blue", the containers "web" and "db", and the records."""
    state = State(networks={"blue": a_network()}, containers={"web": a_container(), "db": a_container(2, "db")})
    for record in records:
        if isinstance(record, Network):
            state.networks[record.name] = record
        elif isinstance(record, Container):
            state.containers[record.name] = record
        elif isinstance(record, Endpoint):
            state.endpoints[(record.network, record.container)] = record
        else:
            state.mappings[record.key] = record
    return state


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "bridgework" / "state.db"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridgework" / "state.db"


NAMES = st.sampled_from(["web", "db", "blue", "a.b-c_d", "x" * 128])
TEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
WORDS = st.text(max_size=8)


@st.composite
def states(draw) -> State:
    """A state that keeps the database's constraints."""
    state = State(serial=draw(st.integers(0, 10**6)))
    for number, name in enumerate(draw(st.lists(NAMES, max_size=3, unique=True))):
        blocks = []
        for position in range(draw(st.integers(1, 2))):
            subnet = f"10.{number}.{position}.0/24"
            part = draw(st.sampled_from([None, f"10.{number}.{position}.128/25"]))
            blocks.append(IpamBlock(subnet, f"10.{number}.{position}.1", part, draw(TEXTS)))
        state.networks[name] = a_network(
            number,
            name,
            ipam=tuple(blocks),
            created=draw(WORDS),
            internal=draw(st.booleans()),
            attachable=draw(st.booleans()),
            labels=draw(TEXTS),
            options=draw(TEXTS),
        )
    for number, name in enumerate(draw(st.lists(NAMES, max_size=3, unique=True))):
        mode, target = draw(
            st.sampled_from(
                [("bridge", None), ("none", None), ("host", None), *(("container", n) for n in state.containers)]
            )
        )
        state.containers[name] = a_container(
            number, name, mode=mode, target=target, labels=draw(TEXTS), sysctls=draw(TEXTS), created=draw(WORDS)
        )
        if mode == "host":  # the mappings of these states are of TCP and UDP
            port = HostPort("sctp", draw(st.sampled_from(["", "0.0.0.0", "::", "192.0.2.7"])), 5000 + number)
            state.containers[name] = replace(state.containers[name], ports=(port,))
    for number, (network, container) in enumerate((n, c) for n in state.networks for c in state.containers):
        if draw(st.booleans()):
            state.endpoints[(network, container)] = an_endpoint(
                number,
                container,
                network,
                addresses=tuple(
                    draw(st.permutations([f"10.9.{number}.1", f"fd00::{number}"]))[: draw(st.integers(1, 2))]
                ),
                interface=f"eth{number}",
                aliases=tuple(draw(st.lists(WORDS, max_size=2))),
            )
    for port in draw(st.lists(st.integers(1, 65535), max_size=3, unique=True)) if state.containers else ():
        mapping = PortMapping(
            container=draw(st.sampled_from(sorted(state.containers))),
            protocol=draw(st.sampled_from(["tcp", "udp"])),
            container_port=draw(st.integers(1, 65535)),
            host_ip=draw(st.sampled_from(["0.0.0.0", "::"]) | st.ip_addresses().map(str)),
            host_port=port,
            random=draw(st.booleans()),
            network=draw(st.sampled_from([None, *state.networks])),
        )
        state.mappings[mapping.key] = mapping
    return state


LEDGERS = st.builds(
    Ledger,
    st.dictionaries(NAMES, st.sampled_from([None, "", "db"]), max_size=3),
    st.dictionaries(
        st.tuples(st.just("") | NAMES, WORDS), st.builds(SavedSysctl, WORDS, st.none() | WORDS), max_size=3
    ),
    st.sets(st.tuples(WORDS, WORDS, WORDS, WORDS), max_size=3),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(states(), LEDGERS), min_size=1, max_size=3))
def test_what_is_saved_is_what_is_loaded(contents: list[tuple[State, Ledger]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"{directory}/state.db")
        before = NOTHING
        for content in contents:
            store.save(before, content)
            assert Store(f"{directory}/state.db").load() == content
            before = content
        store.save(before, NOTHING)
        assert store.load() == NOTHING


def test_nothing_is_made_by_loading(store: Store, file: Path) -> None:
    assert store.load() == NOTHING
    assert not file.parent.exists()


def test_only_root_looks_into_the_directory(store: Store, file: Path) -> None:
    store.save(NOTHING, (a_state(), Ledger()))
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_empty_file_is_a_state_not_written_yet(store: Store, file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert store.load() == NOTHING
    store.save(NOTHING, (a_state(), Ledger()))
    assert store.load() == (a_state(), Ledger())


def test_what_is_loaded_is_of_one_moment(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only looks takes no lock: somebody may write between two tables."""
    store.save(NOTHING, (a_state(), Ledger()))
    opened, attempts = Store._connect, []

    def remove_everything(statement: str) -> None:
        if statement == "SELECT * FROM network":
            attempts.append(statement)
            with closing(sqlite3.connect(file, timeout=0)) as other, suppress(sqlite3.OperationalError), other:
                for table in ("ipam", "network", "container"):
                    other.execute(f"DELETE FROM {table}")

    def watched(self: Store, mode: str) -> sqlite3.Connection:
        connection = opened(self, mode)
        connection.set_trace_callback(remove_everything)
        return connection

    monkeypatch.setattr(Store, "_connect", watched)
    assert store.load() == (a_state(), Ledger())
    assert attempts


class TestUpgrade:
    """A file of an older version is read as it is, and becomes one of this version by the next write."""

    @pytest.fixture(autouse=True, params=range(1, VERSION))
    def of_an_older_version(self, file: Path, request: pytest.FixtureRequest) -> None:
        file.parent.mkdir()
        connection = sqlite3.connect(file)
        with closing(connection), connection:
            for script in UPGRADES[: request.param]:
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(
                "INSERT INTO container VALUES (?, ?, 'bridge', NULL, '2025-01-01', '{}', '{}', NULL)",
                ("web", a_container().id),
            )
            connection.execute("INSERT INTO mapping VALUES ('tcp', '0.0.0.0', 8000, 'web', 80, 0, NULL, '[]')")
            connection.execute(f"PRAGMA user_version = {request.param}")

    STATE = State(containers={"web": a_container()}, mappings={a_mapping().key: a_mapping()})

    def test_reading_leaves_it_alone(self, store: Store, file: Path) -> None:
        before, fingerprint = file.read_bytes(), store.fingerprint()
        assert store.load() == (self.STATE, Ledger())
        assert (file.read_bytes(), store.fingerprint()) == (before, fingerprint)

    def test_one_who_is_about_to_write_is_in_nobodys_way(self, store: Store, file: Path) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.load() == (self.STATE, Ledger())

    def test_many_read_at_the_same_time(self, file: Path) -> None:
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda _number: Store(str(file)).load(), range(60)))
        assert found == [(self.STATE, Ledger())] * 60

    def test_writing_keeps_what_it_had(self, store: Store, file: Path) -> None:
        content = store.load()
        more = content[0].copy()
        more.containers["ssh"] = a_container(2, "ssh", mode="host", ports=(HostPort("tcp", "", 22),))
        store.save(content, (more, Ledger()))
        assert store.load() == (more, Ledger())
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)

    def test_what_is_refused_leaves_it_of_its_version(self, store: Store, file: Path) -> None:
        before, content = file.read_bytes(), store.load()
        bad = content[0].copy()
        bad.containers["web"] = a_container(mode="host", ports=(HostPort("tcp", "", 8000),))
        with pytest.raises(StateError, match="can't be written"):
            store.save(content, (bad, Ledger()))
        assert store.load() == content
        assert len(file.read_bytes()) == len(before)


class TestBadFile:
    def test_file_that_another_process_keeps_to_itself_is_not_called_broken(
        self, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_store, "PATIENCE", 0)
        store.save(NOTHING, (a_state(), Ledger()))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StateError) as refusal:
                store.load()
        assert str(refusal.value) == (
            f'state file "{file}": can\'t be read (database is locked); end the process that keeps it open, and run '
            "again"
        )
        assert store.load() == (a_state(), Ledger())

    def test_future_version_is_refused_and_left_alone(self, store: Store, file: Path) -> None:
        store.save(NOTHING, (a_state(), Ledger()))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        before = file.read_bytes()
        text = (
            f'state file "{file}": has schema version {VERSION + 1}, this collection knows {VERSION}; '
            "upgrade the collection bridgework.network"
        )
        for use in (store.load, lambda: store.save(NOTHING, (a_state(), Ledger()))):
            with pytest.raises(StateError) as refusal:
                use()
            assert str(refusal.value) == text
        assert file.read_bytes() == before

    @pytest.mark.parametrize("damage", [b"not a database", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_damaged_file_is_refused_and_left_alone(self, store: Store, file: Path, damage: bytes) -> None:
        file.parent.mkdir()
        file.write_bytes(damage)
        with pytest.raises(StateError) as refusal:
            store.load()
        text = str(refusal.value)
        assert text.startswith(f'state file "{file}": can\'t be read (') and "\n" not in text
        assert text.endswith("); restore it from a backup, or move it away to start anew")
        assert file.read_bytes() == damage

    @pytest.mark.parametrize(
        "damage",
        [
            "DROP TABLE container",
            "DELETE FROM ipam",
            "DELETE FROM address",
            "UPDATE network SET labels = '{'",
            "UPDATE endpoint SET aliases = 'web'",
            "UPDATE endpoint SET aliases = '7'",
            "ALTER TABLE container DROP COLUMN anchor",  # as before it had that
            "INSERT INTO setting VALUES ('unheard of', 1)",
            "UPDATE container SET labels = '7'",
        ],
    )
    def test_file_with_other_content_is_refused(self, store: Store, file: Path, damage: str) -> None:
        store.save(NOTHING, (a_state(an_endpoint()), Ledger()))
        connection = sqlite3.connect(file)
        with closing(connection), connection:
            connection.executescript(damage)
        before = file.read_bytes()
        with pytest.raises(StateError, match="can't be read"):
            store.load()
        assert file.read_bytes() == before

    @pytest.mark.parametrize(
        ("damage", "missing"),
        [
            ("DELETE FROM container WHERE name = 'web'", 'container "web"'),
            ("UPDATE endpoint SET container = 'lost'; UPDATE address SET container = 'lost'", 'container "lost"'),
            ("UPDATE mapping SET container = 'lost'", 'container "lost"'),
            ("UPDATE container SET target = 'lost' WHERE name = 'sidecar'", 'container "lost"'),
            ("UPDATE container SET target = NULL WHERE name = 'sidecar'", 'target of container "sidecar"'),
            ("DELETE FROM network WHERE name = 'blue'", 'network "blue"'),
            ("UPDATE network SET config_from = 'lost'", 'network "lost"'),
            ("DELETE FROM ipam", 'subnet of network "blue"'),
            ("DELETE FROM address", 'address of container "web" on network "blue"'),
        ],
    )
    def test_what_rows_that_were_taken_out_by_hand_leave_behind_is_refused(
        self, store: Store, file: Path, damage: str, missing: str
    ) -> None:
        """SQLite's own client checks no references."""
        sidecar = a_container(3, "sidecar", mode="container", target="web")
        store.save(NOTHING, (a_state(an_endpoint(), a_mapping(), sidecar), Ledger()))
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(damage)
        with pytest.raises(StateError, match=rf"can't be read \({missing} is missing\); restore it from a backup"):
            store.load()

    @pytest.mark.parametrize("version", [0, -1])
    def test_file_whose_version_got_lost_is_not_taken_for_an_empty_one(
        self, store: Store, file: Path, version: int
    ) -> None:
        """As a text dump of SQLite's loses it."""
        store.save(NOTHING, (a_state(), Ledger()))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        before = file.read_bytes()
        for use in (store.load, lambda: store.save(NOTHING, (a_state(), Ledger()))):
            with pytest.raises(StateError) as refusal:
                use()
            assert str(refusal.value) == (
                f'state file "{file}": has tables, but {version} for their schema version; restore it from a backup '
                f"with that (PRAGMA user_version, {VERSION} with this collection), or move it away to start anew"
            )
        assert file.read_bytes() == before

    def test_directory_that_cant_be_made_is_an_error_of_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "below" / "state.db"
        with pytest.raises(StateError) as refusal:
            Store(str(path)).save(NOTHING, (a_state(), Ledger()))
        text = str(refusal.value)
        assert text.startswith(f'state file "{path}": can\'t be written (') and "\n" not in text
        assert text.endswith("); see to that and run again")

    def test_directory_in_place_of_the_file_is_an_error(self, store: Store, file: Path) -> None:
        file.mkdir(parents=True)
        with pytest.raises(StateError, match="can't be read"):
            store.load()
        with pytest.raises(StateError, match="can't be written"):
            store.save(NOTHING, (a_state(), Ledger()))


class TestConstraints:
    """What an intent failed to see, the database refuses; the file then stays as it was."""

    @pytest.mark.parametrize(
        "state",
        [
            a_state(an_endpoint(1), an_endpoint(2, "db", addresses=("10.1.0.2",))),
            a_state(an_endpoint(1), an_endpoint(2, "db", mac="02:00:00:00:00:01")),
            a_state(an_endpoint(1), an_endpoint(2, "db", host_link="veth1")),
            a_state(a_network(2, "red", device="br1")),
            a_state(a_network(2, "red", ipam=a_network().ipam)),
            a_state(a_network(2, "red", id=a_network().id)),
            a_state(a_container(1, "cache")),
            a_state(a_network(2, "red"), an_endpoint(1), an_endpoint(2, "web", "red")),
            a_state(an_endpoint(1, "lost")),
            a_state(an_endpoint(1, "web", "lost")),
            a_state(a_container(3, "log", mode="container", target="lost")),
            a_state(a_mapping(container="lost")),
            a_state(a_mapping("0.0.0.0"), a_mapping("192.0.2.7")),
            a_state(a_mapping("192.0.2.7"), a_mapping("0.0.0.0")),
            a_state(a_mapping("::"), a_mapping("2001:db8::1")),
            a_state(listening("a", "", 22), listening("b", "", 22)),
            a_state(listening("a", "", 22), listening("b", "192.0.2.7", 22)),
            a_state(listening("a", "2001:db8::1", 22), listening("b", "", 22)),
            a_state(listening("a", "0.0.0.0", 22), listening("b", "192.0.2.7", 22)),
            a_state(listening("a", "2001:db8::1", 22), listening("b", "::", 22)),
            a_state(listening("a", "::", 22), listening("b", "", 22)),
            a_state(listening("a", "0.0.0.0", 8000), a_mapping("192.0.2.7")),
            a_state(listening("a", "", 8000), a_mapping("192.0.2.7")),
            a_state(listening("a", "192.0.2.7", 8000), a_mapping("0.0.0.0")),
            a_state(listening("a", "2001:db8::1", 8000), a_mapping("::")),
            a_state(listening("a", "192.0.2.7", 8000), a_mapping("192.0.2.7")),
        ],
        ids=[
            "address twice in a network",
            "MAC twice",
            "host link twice",
            "bridge twice",
            "subnet twice",
            "network ID twice",
            "container ID twice",
            "interface twice in a container",
            "endpoint of no container",
            "endpoint on no network",
            "handle on no container",
            "port of no container",
            "wildcard and then an address",
            "address and then the wildcard",
            "IPv6 wildcard and an address",
            "port of the host for two containers",
            "port of the host, and of an address for another container",
            "port of an IPv6 address, and of the host for another container",
            "port of IPv4, and of an address for another container",
            "port of an IPv6 address, and of IPv6 for another container",
            "port of IPv6, and of the host for another container",
            "port of IPv4 that is published on an address",
            "port of the host that is published on an address",
            "port of an address that is published everywhere",
            "port of an IPv6 address that is published everywhere",
            "port of an address that is published there",
        ],
    )
    def test_is_refused(self, store: Store, state: State) -> None:
        good = (a_state(), Ledger())
        store.save(NOTHING, good)
        with pytest.raises(StateError, match="can't be written"):
            store.save(good, (state, Ledger()))
        assert store.load() == good

    @pytest.mark.parametrize(
        "state",
        [
            a_state(a_mapping("192.0.2.7"), a_mapping("192.0.2.8")),
            a_state(a_mapping("0.0.0.0", protocol="tcp"), a_mapping("0.0.0.0", protocol="udp")),
            a_state(a_mapping("0.0.0.0", 8000), a_mapping("0.0.0.0", 8001)),
            a_state(a_mapping("0.0.0.0"), a_mapping("::")),
            a_state(a_mapping("0.0.0.0"), a_mapping("2001:db8::1")),
            a_state(listening("a", "", 8000, "udp"), a_mapping("0.0.0.0")),
            a_state(listening("a", "192.0.2.8", 8000), a_mapping("192.0.2.7")),
            a_state(listening("a", "2001:db8::1", 8000), a_mapping("0.0.0.0")),
            a_state(listening("a", "192.0.2.8", 8000), listening("b", "192.0.2.7", 8000)),
            a_state(listening("a", "0.0.0.0", 8000), listening("b", "::", 8000)),
            a_state(listening("a", "0.0.0.0", 8000), a_mapping("::")),
            a_state(listening("a", "", 8000, more="0.0.0.0")),
            a_state(a_network(2, "red"), an_endpoint(1), an_endpoint(2, "db", "red", addresses=("10.1.0.2",))),
        ],
        ids=[
            "two addresses",
            "two protocols",
            "two ports",
            "wildcards of two families",
            "wildcard and an address of the other family",
            "port of the host of another protocol",
            "port of the host on another address",
            "port of the host of the other family",
            "port of the host on two addresses",
            "port of the host of each family",
            "port of the host of one family that is published on the other",
            "port of the host twice for one container",
            "address in another network",
        ],
    )
    def test_is_fine(self, store: Store, state: State) -> None:
        store.save(NOTHING, (state, Ledger()))
        assert store.load() == (state, Ledger())

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (
                a_state(an_endpoint(1), an_endpoint(2, "db")),
                a_state(an_endpoint(1, addresses=("10.1.0.3",)), an_endpoint(2, "db", addresses=("10.1.0.2",))),
            ),
            (a_state(a_mapping("0.0.0.0")), a_state(a_mapping("192.0.2.7"))),
            (
                a_state(a_network(2, "red")),
                a_state(a_network(1, "red"), a_network(2, "blue")),
            ),
        ],
        ids=["two containers change places", "mapping narrows to an address", "two networks change names"],
    )
    def test_what_is_given_up_can_be_taken_in_the_same_write(self, store: Store, before: State, after: State) -> None:
        store.save(NOTHING, (before, Ledger()))
        store.save((before, Ledger()), (after, Ledger()))
        assert store.load() == (after, Ledger())


def test_write_that_fails_leaves_the_file_as_it_was(store: Store, file: Path) -> None:
    good = (a_state(an_endpoint()), Ledger({"web": None}))
    store.save(NOTHING, good)
    before = file.read_bytes()
    with pytest.raises(StateError):
        store.save(good, (a_state(an_endpoint(1), an_endpoint(2, "db", addresses=("10.1.0.2",))), Ledger()))
    assert file.read_bytes() == before


def test_unchanged_state_writes_no_row(store: Store, file: Path) -> None:
    content = (a_state(an_endpoint(), a_mapping()), Ledger({"web": None}))
    store.save(NOTHING, content)
    with closing(sqlite3.connect(file)) as connection:
        before = connection.execute("SELECT rowid, * FROM endpoint").fetchall()
        store.save(content, (replace(content[0], serial=9), content[1]))
        assert connection.execute("SELECT rowid, * FROM endpoint").fetchall() == before
