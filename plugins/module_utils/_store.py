# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state of one host, in SQLite: one read, one write, constraints against duplicates.

Rows are written by difference, so a change costs what it changes. The schema's version is SQLite's ``user_version``.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from typing import Any, Callable, NamedTuple

from ._errors import StateError
from ._ledger import Ledger, SavedSysctl
from ._model import Container, Endpoint, HostPort, IpamBlock, Network, PortMapping
from ._state import Containers, Endpoints, Mappings, State

PATH = "/var/lib/bridgework/state.db"
PATIENCE = 30  # seconds for others to let go of the file

# The trigger's + keeps SQLite from looking up the protocol, which most mappings share, instead of the port.
FIRST = """
CREATE TABLE network (
    name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, device TEXT,
    foreign_device INTEGER NOT NULL, created TEXT NOT NULL, internal INTEGER NOT NULL, attachable INTEGER NOT NULL,
    labels TEXT NOT NULL, options TEXT NOT NULL, ipam_driver TEXT NOT NULL, ipam_options TEXT NOT NULL,
    config_only INTEGER NOT NULL, config_from TEXT REFERENCES network DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX network_bridge ON network (device) WHERE driver = 'bridge';
CREATE TABLE ipam (
    network TEXT NOT NULL REFERENCES network DEFERRABLE INITIALLY DEFERRED, position INTEGER NOT NULL,
    subnet TEXT NOT NULL, gateway TEXT NOT NULL, iprange TEXT, aux_addresses TEXT NOT NULL,
    config_only INTEGER NOT NULL, PRIMARY KEY (network, position)
);
CREATE UNIQUE INDEX ipam_subnet ON ipam (subnet) WHERE NOT config_only;
CREATE TABLE container (
    name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, mode TEXT NOT NULL,
    target TEXT REFERENCES container DEFERRABLE INITIALLY DEFERRED,
    created TEXT NOT NULL, labels TEXT NOT NULL, sysctls TEXT NOT NULL, anchor TEXT
);
CREATE TABLE endpoint (
    network TEXT NOT NULL REFERENCES network DEFERRABLE INITIALLY DEFERRED,
    container TEXT NOT NULL REFERENCES container DEFERRABLE INITIALLY DEFERRED,
    id TEXT NOT NULL UNIQUE, serial INTEGER NOT NULL, mac TEXT UNIQUE, interface TEXT NOT NULL,
    host_link TEXT NOT NULL UNIQUE, aliases TEXT NOT NULL, links TEXT NOT NULL, link_local TEXT NOT NULL,
    gw_priority INTEGER NOT NULL, driver_opts TEXT NOT NULL,
    PRIMARY KEY (network, container), UNIQUE (container, interface)
);
CREATE TABLE address (
    network TEXT NOT NULL, container TEXT NOT NULL, position INTEGER NOT NULL, address TEXT NOT NULL,
    PRIMARY KEY (network, address),
    FOREIGN KEY (network, container) REFERENCES endpoint DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE mapping (
    protocol TEXT NOT NULL, host_ip TEXT NOT NULL, host_port INTEGER NOT NULL,
    container TEXT NOT NULL REFERENCES container DEFERRABLE INITIALLY DEFERRED,
    container_port INTEGER NOT NULL, random INTEGER NOT NULL, network TEXT, sources TEXT NOT NULL,
    PRIMARY KEY (protocol, host_ip, host_port)
);
CREATE INDEX mapping_port ON mapping (host_port);
CREATE TRIGGER mapping_wildcard BEFORE INSERT ON mapping WHEN EXISTS (
    SELECT 1 FROM mapping AS other
    WHERE other.host_port = NEW.host_port AND +other.protocol = NEW.protocol
      AND (instr(other.host_ip, ':') > 0) = (instr(NEW.host_ip, ':') > 0)
      AND (other.host_ip IN ('0.0.0.0', '::') OR NEW.host_ip IN ('0.0.0.0', '::'))
) BEGIN SELECT RAISE(ABORT, 'host port is published twice'); END;
CREATE TABLE setting (name TEXT PRIMARY KEY, value NOT NULL);
CREATE TABLE owned_namespace (name TEXT PRIMARY KEY, target TEXT);
CREATE TABLE saved_sysctl (
    namespace TEXT NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, leader TEXT, PRIMARY KEY (namespace, path)
);
CREATE TABLE shared_port (port INTEGER PRIMARY KEY);
CREATE TABLE pending (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, link TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, namespace, link, value)
);
"""

# Ports of the host that containers in mode host listen on; an empty host_ip stands for every address.
HOST_PORTS = """
CREATE TABLE host_port (
    protocol TEXT NOT NULL, host_ip TEXT NOT NULL, port INTEGER NOT NULL,
    container TEXT NOT NULL REFERENCES container DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (protocol, host_ip, port)
);
CREATE INDEX host_port_port ON host_port (port);
CREATE TRIGGER host_port_published BEFORE INSERT ON host_port WHEN EXISTS (
    SELECT 1 FROM mapping AS other
    WHERE other.host_port = NEW.port AND +other.protocol = NEW.protocol
      AND (NEW.host_ip = '' OR other.host_ip = NEW.host_ip
           OR other.host_ip = CASE WHEN instr(NEW.host_ip, ':') THEN '::' ELSE '0.0.0.0' END)
) BEGIN SELECT RAISE(ABORT, 'port of the host is published'); END;
CREATE TRIGGER mapping_host_port BEFORE INSERT ON mapping WHEN EXISTS (
    SELECT 1 FROM host_port AS other
    WHERE other.port = NEW.host_port AND +other.protocol = NEW.protocol
      AND (other.host_ip IN ('', NEW.host_ip)
           OR NEW.host_ip = CASE WHEN instr(other.host_ip, ':') THEN '::' ELSE '0.0.0.0' END)
) BEGIN SELECT RAISE(ABORT, 'published port is a service of the host'); END;
"""

# Whether NEW and other, which are each on an address, on all of a family or on all there are, exclude each other.
EXCLUDED = """(other.host_ip = NEW.host_ip OR '' IN (other.host_ip, NEW.host_ip) OR (
          (instr(other.host_ip, ':') > 0) = (instr(NEW.host_ip, ':') > 0)
          AND (other.host_ip IN ('0.0.0.0', '::') OR NEW.host_ip IN ('0.0.0.0', '::'))))"""

# Wildcards of one family are told from all addresses, and two containers' ports of the host from each other.
HOST_WILDCARDS = f"""
DROP TRIGGER host_port_published;
CREATE TRIGGER host_port_published BEFORE INSERT ON host_port WHEN EXISTS (
    SELECT 1 FROM mapping AS other
    WHERE other.host_port = NEW.port AND +other.protocol = NEW.protocol AND {EXCLUDED}
) BEGIN SELECT RAISE(ABORT, 'port of the host is published'); END;
DROP TRIGGER mapping_host_port;
CREATE TRIGGER mapping_host_port BEFORE INSERT ON mapping WHEN EXISTS (
    SELECT 1 FROM host_port AS other
    WHERE other.port = NEW.host_port AND +other.protocol = NEW.protocol AND {EXCLUDED}
) BEGIN SELECT RAISE(ABORT, 'published port is a service of the host'); END;
CREATE TRIGGER host_port_wildcard BEFORE INSERT ON host_port WHEN EXISTS (
    SELECT 1 FROM host_port AS other
    WHERE other.port = NEW.port AND +other.protocol = NEW.protocol AND other.container <> NEW.container AND {EXCLUDED}
) BEGIN SELECT RAISE(ABORT, 'port of the host belongs to two containers'); END;
"""

# What brings a file from each version to the next.
UPGRADES = (FIRST, HOST_PORTS, HOST_WILDCARDS)
VERSION = len(UPGRADES)


class Table(NamedTuple):
    """A table's columns, the key ones first, and how to write a state and ledger as its rows."""

    name: str
    keys: int
    columns: tuple[str, ...]
    rows: Callable[[State, Ledger], list[tuple[Any, ...]]]


class Store:
    """The state file of one host. Nothing is created before the first write."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._made: list[str] = []

    def load(self) -> tuple[State, Ledger]:
        """What was declared, and what the host is owed. Raises StateError."""
        if not os.path.exists(self._path):
            return State(), Ledger()
        try:
            with closing(self._connect("rw")) as connection:
                connection.execute("BEGIN")  # all that is read is of one moment, also where nothing keeps writers off
                version = self._version(connection)
                if version == 0:
                    return State(), Ledger()
                return _read(connection) if version == VERSION else _read_older(connection, version)
        except (sqlite3.Error, ValueError, LookupError, TypeError) as error:
            raise self._unreadable(error) from error

    def fingerprint(self) -> str:
        """What tells the content of the file from any other that it has had or will have; empty without a file.

        Source: the file change counter in SQLite's database header, https://www.sqlite.org/fileformat.html.
        """
        try:
            with open(self._path, "rb") as file:
                found, header = os.fstat(file.fileno()), file.read(28)
        except OSError:
            return ""
        return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{header[24:].hex()}"

    def save(self, before: tuple[State, Ledger], after: tuple[State, Ledger]) -> None:
        """Replace one content by the other, in one transaction. Raises StateError and leaves the file as it was."""
        try:
            self._make_room()
            connection = self._connect("rwc")
            with closing(connection), connection:
                connection.execute("BEGIN IMMEDIATE")
                _upgrade(connection, self._version(connection))
                _write(connection, before, after)
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f'state file "{self._path}": can\'t be written ({error}); see to that and run again'
            ) from error

    def unmake(self) -> None:
        """The file is gone, with its directory, if this object made them; for a first run that failed."""
        for path in reversed(self._made):
            with suppress(OSError):
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        self._made.clear()

    def _make_room(self) -> None:
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory):
            os.makedirs(directory, mode=0o700)
            self._made.append(directory)
        if not os.path.exists(self._path):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._made.append(self._path)

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{self._path}?mode={mode}", uri=True, isolation_level=None, timeout=PATIENCE)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateError(
                f'state file "{self._path}": has schema version {version}, this collection knows {VERSION}; '
                "upgrade the collection bridgework.network"
            )
        if version < 1 and connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]:
            raise StateError(
                f'state file "{self._path}": has tables, but {version} for their schema version; restore it from a '
                f"backup with that (PRAGMA user_version, {VERSION} with this collection), or move it away to start anew"
            )
        return max(version, 0)

    def _unreadable(self, error: Exception) -> StateError:
        remedy = "restore it from a backup, or move it away to start anew"
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):  # nothing is wrong with the file
            remedy = "end the process that keeps it open, and run again"
        return StateError(f'state file "{self._path}": can\'t be read ({error}); {remedy}')


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Within a transaction, the tables are those of this version."""
    for script in UPGRADES[version:]:
        for statement in _statements(script):
            connection.execute(statement)
    if version < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _read_older(connection: sqlite3.Connection, version: int) -> tuple[State, Ledger]:
    """From a copy in memory: a transaction that only reads can't become one that writes while others read as well."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        connection.backup(copy)
        _upgrade(copy, version)
        return _read(copy)


def _read(connection: sqlite3.Connection) -> tuple[State, Ledger]:
    connection.row_factory = sqlite3.Row
    every = connection.execute
    blocks: dict[str, list[IpamBlock]] = {}
    for row in every("SELECT * FROM ipam ORDER BY network, position"):
        block = IpamBlock(row["subnet"], row["gateway"], row["iprange"], json.loads(row["aux_addresses"]))
        blocks.setdefault(row["network"], []).append(block)
    addresses: dict[tuple[str, str], list[str]] = {}
    for row in every("SELECT * FROM address ORDER BY position"):
        addresses.setdefault((row["network"], row["container"]), []).append(row["address"])
    ports: dict[str, list[HostPort]] = {}
    for row in every("SELECT * FROM host_port ORDER BY protocol, host_ip, port"):
        ports.setdefault(row["container"], []).append(HostPort(row["protocol"], row["host_ip"], row["port"]))
    settings = {row["name"]: row["value"] for row in every("SELECT * FROM setting")}
    state = State(
        networks={row["name"]: _network(row, _blocks_of(row, blocks)) for row in every("SELECT * FROM network")},
        containers=Containers(
            {row["name"]: _container(row, ports.get(row["name"], ())) for row in every("SELECT * FROM container")}
        ),
        endpoints=Endpoints(
            {
                (row["network"], row["container"]): _endpoint(row, _addresses_of(row, addresses, blocks))
                for row in every("SELECT * FROM endpoint")
            }
        ),
        mappings=_mappings(connection),
        **settings,
    )
    _check(state)
    ledger = Ledger(
        namespaces={row["name"]: row["target"] for row in every("SELECT * FROM owned_namespace")},
        sysctls={
            (row["namespace"], row["path"]): SavedSysctl(row["value"], row["leader"])
            for row in every("SELECT * FROM saved_sysctl")
        },
        pending={tuple(row) for row in every("SELECT kind, namespace, link, value FROM pending")},
        shared_ports={row["port"] for row in every("SELECT port FROM shared_port")},
    )
    return state, ledger


def _check(state: State) -> None:
    """All that is referred to is there. Raises LookupError: whoever takes out rows by hand may leave some behind."""
    containers = state.containers.values()
    named = {each.container for each in state.mappings.values()}
    named |= {container for _network, container in state.endpoints}
    named |= {each.target for each in containers if each.target is not None}
    used = {network for network, _container in state.endpoints}
    used |= {each.config_from for each in state.networks.values() if each.config_from is not None}
    lost = [f'container "{name}"' for name in sorted(named - state.containers.keys())]
    lost += [f'network "{name}"' for name in sorted(used - state.networks.keys())]
    aimless = [each.name for each in containers if each.mode == "container" and each.target is None]
    lost += [f'target of container "{name}"' for name in aimless]
    if lost:
        raise LookupError(f"{lost[0]} is missing")


def _blocks_of(row: Mapping[str, Any], blocks: Mapping[str, list[IpamBlock]]) -> list[IpamBlock]:
    """A network's blocks; only configurations, and networks without address management, may have none."""
    found = blocks.get(row["name"], [])
    if not (found or row["config_only"] or row["ipam_driver"] == "null"):
        raise LookupError(f'subnet of network "{row["name"]}" is missing')
    return found


def _addresses_of(
    row: Mapping[str, Any], addresses: Mapping[tuple[str, str], list[str]], blocks: Mapping[str, list[IpamBlock]]
) -> list[str]:
    """An endpoint's addresses; only those of networks without address management have none."""
    found = addresses.get((row["network"], row["container"]), [])
    if not found and row["network"] in blocks:
        raise LookupError(f'address of container "{row["container"]}" on network "{row["network"]}" is missing')
    return found


def _network(row: Mapping[str, Any], blocks: list[IpamBlock]) -> Network:
    return Network(
        id=row["id"],
        name=row["name"],
        driver=row["driver"],
        device=row["device"] or "",
        ipam=tuple(blocks),
        created=row["created"],
        internal=bool(row["internal"]),
        attachable=bool(row["attachable"]),
        labels=dict(json.loads(row["labels"])),
        options=dict(json.loads(row["options"])),
        ipam_driver=row["ipam_driver"],
        ipam_options=dict(json.loads(row["ipam_options"])),
        foreign_device=bool(row["foreign_device"]),
        config_only=bool(row["config_only"]),
        config_from=row["config_from"],
    )


def _container(row: Mapping[str, Any], ports: Iterable[HostPort]) -> Container:
    return Container(
        id=row["id"],
        name=row["name"],
        mode=row["mode"],
        created=row["created"],
        target=row["target"],
        labels=dict(json.loads(row["labels"])),
        sysctls=dict(json.loads(row["sysctls"])),
        anchor=row["anchor"],
        ports=tuple(ports),
    )


def _endpoint(row: Mapping[str, Any], addresses: list[str]) -> Endpoint:
    return Endpoint(
        id=row["id"],
        network=row["network"],
        container=row["container"],
        serial=row["serial"],
        addresses=tuple(addresses),
        mac=row["mac"],
        interface=row["interface"],
        host_link=row["host_link"],
        aliases=tuple(json.loads(row["aliases"])),
        links=tuple(json.loads(row["links"])),
        link_local=tuple(json.loads(row["link_local"])),
        gw_priority=row["gw_priority"],
        driver_opts=dict(json.loads(row["driver_opts"])),
    )


def _mappings(connection: sqlite3.Connection) -> Mappings:
    """Of which a host may have thousands: columns are told by their place."""
    cursor = connection.cursor()
    cursor.row_factory = None
    found = {}
    for container, protocol, container_port, host_ip, host_port, random, network, sources in cursor.execute(
        "SELECT container, protocol, container_port, host_ip, host_port, random, network, sources FROM mapping"
    ):
        found[protocol, host_ip, host_port] = PortMapping(
            container,
            protocol,
            container_port,
            host_ip,
            host_port,
            bool(random),
            network,
            () if sources == "[]" else tuple(json.loads(sources)),
        )
    return Mappings(found)


def _write(connection: sqlite3.Connection, before: tuple[State, Ledger], after: tuple[State, Ledger]) -> None:
    old, new = _differing(before[0], after[0]), _differing(after[0], before[0])
    changes = [(table, table.rows(old, before[1]), table.rows(new, after[1])) for table in TABLES]
    for table, old_rows, new_rows in changes:
        where = " AND ".join(f"{column} = ?" for column in table.columns[: table.keys])
        stay = set(new_rows)
        doomed = [row[: table.keys] for row in old_rows if row not in stay]
        connection.executemany(f"DELETE FROM {table.name} WHERE {where}", doomed)
    for table, old_rows, new_rows in changes:
        marks = ", ".join("?" for _column in table.columns)
        stay = set(old_rows)
        fresh = [row for row in new_rows if row not in stay]  # two rows of one key meet the constraint here
        connection.executemany(f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})", fresh)


def _differing(state: State, other: State) -> State:
    """What the other state has not, or has otherwise; of thousands of records a run changes a few."""
    found: dict[str, Any] = {}
    for name in ("networks", "containers", "endpoints", "mappings"):
        records, others = getattr(state, name), getattr(other, name)
        found[name] = {key: each for key, each in records.items() if _is_other(others.get(key), each)}
    return State(**found, serial=state.serial, firewall_backend=state.firewall_backend)


def _is_other(one: Any, other: Any) -> bool:
    """Most are the very same, which is told faster than that they are equal."""
    return one is not other and one != other


def _dump(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else list(value), sort_keys=True)


def _statements(script: str) -> list[str]:
    """The statements of a script; a trigger's body has semicolons of its own."""
    found, current = [], ""
    for line in script.strip().splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found


TABLES = (
    Table(
        "network",
        1,
        (
            "name",
            "id",
            "driver",
            "device",
            "created",
            "internal",
            "attachable",
            "foreign_device",
            "ipam_driver",
            "config_only",
            "config_from",
            "labels",
            "options",
            "ipam_options",
        ),
        lambda state, _ledger: [
            (
                *(n.name, n.id, n.driver, n.device or None, n.created, n.internal, n.attachable),
                *(n.foreign_device, n.ipam_driver, n.config_only, n.config_from),
                *map(_dump, (n.labels, n.options, n.ipam_options)),
            )
            for n in state.networks.values()
        ],
    ),
    Table(
        "ipam",
        2,
        ("network", "position", "subnet", "gateway", "iprange", "aux_addresses", "config_only"),
        lambda state, _ledger: [
            (
                *(network.name, position, block.subnet, block.gateway, block.iprange),
                *(_dump(block.aux_addresses), network.config_only),
            )
            for network in state.networks.values()
            for position, block in enumerate(network.ipam)
        ],
    ),
    Table(
        "container",
        1,
        ("name", "id", "mode", "target", "created", "labels", "sysctls", "anchor"),
        lambda state, _ledger: [
            (c.name, c.id, c.mode, c.target, c.created, _dump(c.labels), _dump(c.sysctls), c.anchor)
            for c in state.containers.values()
        ],
    ),
    Table(
        "host_port",
        3,
        ("protocol", "host_ip", "port", "container"),
        lambda state, _ledger: [(*each, c.name) for c in state.containers.values() for each in c.ports],
    ),
    Table(
        "endpoint",
        2,
        (
            "network",
            "container",
            "id",
            "serial",
            "mac",
            "interface",
            "host_link",
            "gw_priority",
            "aliases",
            "links",
            "link_local",
            "driver_opts",
        ),
        lambda state, _ledger: [
            (
                *(e.network, e.container, e.id, e.serial, e.mac, e.interface, e.host_link, e.gw_priority),
                *map(_dump, (e.aliases, e.links, e.link_local, e.driver_opts)),
            )
            for e in state.endpoints.values()
        ],
    ),
    Table(
        "address",
        2,
        ("network", "address", "container", "position"),
        lambda state, _ledger: [
            (endpoint.network, address, endpoint.container, position)
            for endpoint in state.endpoints.values()
            for position, address in enumerate(endpoint.addresses)
        ],
    ),
    Table(
        "mapping",
        3,
        ("protocol", "host_ip", "host_port", "container", "container_port", "random", "network", "sources"),
        lambda state, _ledger: [
            (*m.key, m.container, m.container_port, m.random, m.network, _dump(m.sources))
            for m in state.mappings.values()
        ],
    ),
    Table(
        "setting",
        1,
        ("name", "value"),
        lambda state, _ledger: [
            (name, value)
            for name, value in (("serial", state.serial), ("firewall_backend", state.firewall_backend))
            if value
        ],
    ),
    Table("owned_namespace", 1, ("name", "target"), lambda _state, ledger: [*ledger.namespaces.items()]),
    Table(
        "saved_sysctl",
        2,
        ("namespace", "path", "value", "leader"),
        lambda _state, ledger: [(*key, saved.value, saved.leader) for key, saved in ledger.sysctls.items()],
    ),
    Table("shared_port", 1, ("port",), lambda _state, ledger: [(port,) for port in ledger.shared_ports]),
    Table("pending", 4, ("kind", "namespace", "link", "value"), lambda _state, ledger: [*ledger.pending]),
)
