# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The throwaway hosts that the other kernel tests, molecule and the demo stand on."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Answer, CommandError, FlowBroken, Lab, LabError
from lab.identity import Identity

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")]

TESTS = Path(__file__).resolve().parents[1]
HOST_V4, HOST_V6 = "192.0.2.10", "2001:db8:1::10"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def single() -> Iterator[Lab]:
    with Lab(hosts=["host"]) as lab:
        yield lab


def links() -> set[str]:
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    return {link["ifname"] for link in json.loads(shown.stdout)}


def inhabitants(pid_namespace: str) -> list[str]:
    """The processes of this machine that are in the pid namespace."""
    return [entry.parts[2] for entry in Path("/proc").glob("[0-9]*/ns/pid") if _target(entry) == pid_namespace]


def _target(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ended = poll.poll(5000)
    os.close(descriptor)
    assert ended, f"process {pid} lives on"


# The topology.


@pytest.mark.parametrize(
    ("client", "address"),
    [
        ("host", "192.0.2.1"),
        ("host", "198.51.100.2"),
        ("peer", HOST_V4),
        ("remote", HOST_V4),
        ("host", "2001:db8:1::1"),
        ("host", "2001:db8:2::2"),
        ("peer", HOST_V6),
        ("remote", HOST_V6),
    ],
)
def test_hosts_reach_each_other(lab: Lab, client: str, address: str) -> None:
    assert lab[client].ping(address)


def test_hosts_reach_each_other_the_moment_they_are_up() -> None:
    for _round in range(5):
        with Lab() as lab:
            assert lab.remote.ping(HOST_V6)
            assert lab.remote.ping(HOST_V4)


def test_router_knows_only_its_own_networks(lab: Lab) -> None:
    routes = json.loads(lab.router.run("ip", "-json", "route").stdout)
    assert {route["dst"] for route in routes} == {"192.0.2.0/24", "198.51.100.0/24"}


def test_uplink_is_eth0_with_a_default_route_through_the_router(lab: Lab) -> None:
    (route,) = json.loads(lab.host.run("ip", "-json", "route", "show", "default").stdout)
    assert (route["gateway"], route["dev"]) == ("192.0.2.1", "eth0")


def test_settings_do_not_depend_on_the_machine(lab: Lab) -> None:
    forwarding = {name: lab[name].run("cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip() for name in lab.hosts}
    assert forwarding == {"host": "0", "peer": "0", "router": "1", "remote": "0"}


# What a host has to itself.


def test_host_starts_as_a_fresh_machine(single: Lab) -> None:
    assert not single.host.run("ls", "/run/netns", check=False).stdout
    assert single.host.run("ls", "/var/lib").stdout == ""
    assert single.host.run("hostname").stdout.strip() == "host"
    assert {link["ifname"] for link in json.loads(single.host.run("ip", "-json", "link", "show", "up").stdout)} == {
        "lo",
        "eth0",
    }
    assert single.host.run("ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]


@pytest.mark.parametrize("directory", ["/run", "/var/lib", "/etc", "/etc/sysctl.d", "/etc/systemd/system"])
def test_directories_are_private(lab: Lab, directory: str) -> None:
    file = f"{directory}/lab-test-{os.getpid()}"
    lab.host.run("touch", file)
    assert lab.host.run("ls", file).stdout.strip() == file
    assert lab.peer.run("ls", file, check=False).returncode
    leaked = Path(file).exists()
    Path(file).unlink(missing_ok=True)
    assert not leaked


def test_files_of_the_machine_are_changed_in_the_host_alone(single: Lab) -> None:
    assert single.host.run("stat", "-f", "-c", "%T", "/etc/hosts").stdout == "overlayfs\n", "else it would be changed"
    before = Path("/etc/hosts").read_bytes()
    assert single.host.run("cat", "/etc/hosts").stdout.encode() == before
    single.host.run("sh", "-c", "echo 192.0.2.99 nowhere >>/etc/hosts; mkdir -p /etc/ansible/facts.d")
    assert "nowhere" in single.host.run("getent", "hosts", "192.0.2.99").stdout
    assert Path("/etc/hosts").read_bytes() == before


def test_files_that_are_mounted_below_etc_are_seen_and_stay_as_they_are(tmp_path: Path) -> None:
    """As resolv.conf is in a container."""
    (tmp_path / "file").write_text("from elsewhere\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/below").write_text("from there\n")
    script = "cd /etc; cat hosts skel/below; echo changed | tee hosts skel/below; touch skel/new"
    source = (
        f"from lab import Lab\nwith Lab(['host']) as lab: print(lab.host.run('sh', '-c', '{script}').stdout, end='')"
    )
    mounts = "mount --bind file /etc/hosts && mount --bind folder /etc/skel"
    shown = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{mounts} && exec '{sys.executable}' -c \"$1\"", "sh", source],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert shown.stdout == "from elsewhere\nfrom there\nchanged\n"
    assert (tmp_path / "file").read_text() == "from elsewhere\n"
    assert (tmp_path / "folder/below").read_text() == "from there\n"
    assert not (tmp_path / "folder/new").exists()


def test_temporary_files_are_shared(lab: Lab, tmp_path: Path) -> None:
    lab.host.run("sh", "-c", 'echo "$WORD" >"$1"', "sh", str(tmp_path / "file"), env={"WORD": "there"})
    assert (tmp_path / "file").read_text() == "there\n"


def test_processes_of_the_machine_are_not_seen(single: Lab) -> None:
    assert len(single.host.run("ps", "--no-headers", "-e").stdout.splitlines()) == 2


def test_orphans_are_reaped(single: Lab) -> None:
    for _round in range(10):
        single.host.run("sh", "-c", "(true &); (sleep 0.01 &)")
    single.host.run("sh", "-c", "while ps -e -o args= | grep -q '[s]leep'; do :; done", timeout=5)
    assert "Z" not in single.host.run("ps", "-e", "-o", "stat=").stdout


def test_namespaces_nest(lab: Lab) -> None:
    lab.peer.run("ip", "netns", "add", "inner")
    lab.peer.run("ip", "link", "set", "lo", "up", netns="inner")
    assert lab.peer.ping("127.0.0.1", netns="inner")
    assert not lab.peer.ping(HOST_V4, netns="inner")
    assert lab.peer.python("import os; print(os.listdir('/sys/class/net'))", netns="inner").stdout == "['lo']\n"
    assert lab.peer.run("ip", "-br", "link", netns="/run/netns/inner").stdout.startswith("lo ")
    assert lab.host.run("ip", "netns", "list").stdout == ""


def test_packet_filters_work_and_stay_inside(single: Lab) -> None:
    single.host.run("iptables", "-w", "-A", "INPUT", "-p", "tcp", "-j", "DROP")
    assert single.host.ask("tcp", "127.0.0.1", 9, timeout=0.1) is None
    single.host.run("nft", "add", "table", "inet", "lab_test")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "lab_test" not in tables


# Commands.


def test_error_shows_command_and_output(single: Lab) -> None:
    with pytest.raises(CommandError) as caught:
        single.host.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert caught.value.returncode == 3
    assert str(caught.value).splitlines() == [
        "host: sh -c 'echo out; echo err >&2; exit 3': rc 3",
        "--- stdout",
        "out",
        "--- stderr",
        "err",
    ]


@pytest.mark.parametrize("command", ["echo begun; exec sleep 1234", "sleep 12 & exec sleep 1234"])
def test_command_that_takes_too_long_is_killed(single: Lab, command: str) -> None:
    with pytest.raises(CommandError, match="timed out"):
        single.host.run("sh", "-c", command, timeout=0.2)
    single.host.run("sh", "-c", "while ps -e -o args | grep -q '[s]leep 1234'; do :; done", timeout=2)


def test_input_and_arguments_arrive(single: Lab) -> None:
    assert single.host.run("cat", input="some text").stdout == "some text"
    assert single.host.python("import sys; print(sys.argv[1:])", "a b", "c").stdout == "['a b', 'c']\n"


def test_stopped_process_has_freed_its_port(single: Lab) -> None:
    listen = "import socket, sys; s = socket.create_server(('', 7000)); print('ready', flush=True); sys.stdin.read()"
    for _round in range(3):
        process = single.host.popen(
            sys.executable, "-c", listen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout and process.stdout.readline() == b"ready\n"
        single.host.stop(process)


# Traffic.


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("address", "target", "client"),
    [("0.0.0.0", HOST_V4, "198.51.100.2"), ("::", HOST_V6, "2001:db8:2::2"), (HOST_V4, HOST_V4, "198.51.100.2")],
)
def test_server_sees_the_client(lab: Lab, protocol: str, address: str, target: str, client: str) -> None:
    with lab.host.serve(protocol, 8080, address=address, name="web"):
        answer = lab.remote.ask(protocol, target, 8080, source=client, source_port=4242)
        assert answer == Answer("web", client, 4242)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_no_answer_is_none(lab: Lab, protocol: str) -> None:
    assert lab.peer.ask(protocol, HOST_V4, 9) is None
    assert lab.peer.ask(protocol, "192.0.2.99", 9, timeout=0.2) is None
    assert lab.host.ask(protocol, "127.0.0.1", 9) is None


def test_stopped_server_answers_no_more_and_can_be_started_again(lab: Lab) -> None:
    for _round in range(3):
        with lab.host.serve("tcp", 8080):
            assert lab.peer.ask("tcp", HOST_V4, 8080)
        assert lab.peer.ask("tcp", HOST_V4, 8080) is None


def test_taken_port_is_an_error(lab: Lab) -> None:
    with lab.host.serve("udp", 0) as server, pytest.raises(CommandError, match="Address already in use"):
        lab.host.serve("udp", server.port)


def test_foreign_source_address_is_an_error(lab: Lab) -> None:
    with pytest.raises(CommandError, match="Cannot assign requested address"):
        lab.peer.ask("tcp", HOST_V4, 8080, source="192.0.2.77")


def test_udp_answer_comes_from_the_address_that_was_asked(lab: Lab) -> None:
    lab.host.run("ip", "address", "add", "192.0.2.11/24", "dev", "eth0")
    with lab.host.serve("udp", 5353):
        assert lab.peer.ask("udp", "192.0.2.11", 5353)


def test_many_are_asked_at_once(lab: Lab) -> None:
    with lab.host.serve("tcp", 8001, name="one"), lab.host.serve("udp", 8002, name="two"):
        targets = [("tcp", HOST_V4, 8001), ("udp", HOST_V4, 8002), ("tcp", HOST_V4, 8003)] * 70
        answers = [answer and answer.server for answer in lab.remote.ask_all(targets)]
    assert answers == ["one", "two", None] * 70


def test_flow_lasts_until_its_server_stops(lab: Lab) -> None:
    with lab.host.serve("tcp", 8080, name="web") as server, lab.remote.flow(HOST_V4, 8080) as flow:
        answers = {flow.echo() for _round in range(50)}
        assert flow.rounds == 50
        assert [answer.server for answer in answers] == ["web"], "it is one connection, so one source port"
        server.stop()
        with pytest.raises(FlowBroken, match="after 50 rounds: "):
            flow.echo()
    with pytest.raises(FlowBroken, match="after 0 rounds: refused"):
        lab.remote.flow(HOST_V4, 8080)


# The end.


def test_nothing_is_left_and_the_machine_has_no_new_link() -> None:
    before = links()
    lab = Lab().up()
    namespaces = [os.readlink(f"/proc/{host.pid}/ns/pid") for host in lab.hosts.values()]
    pids = [host.pid for host in lab.hosts.values()]
    lab.host.serve("tcp", 8080)
    lab.host.popen("sh", "-c", "sleep 1234 & sleep 1234")
    assert all(inhabitants(namespace) for namespace in namespaces)
    assert links() == before
    lab.down()
    assert links() == before
    assert not any(inhabitants(namespace) for namespace in namespaces)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    lab.down()


def test_up_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.topology.switch_batch", lambda pids: "link set nothing up\n")
    lab = Lab(hosts=["host"])
    with pytest.raises(CommandError, match="ip -batch -: rc 1"):
        lab.up()
    assert not lab.hosts and not lab.alive()


def test_host_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["lab.topology"].COMMON_SYSCTLS, "net/no/such/setting", "1")
    with pytest.raises(CommandError, match="net/no/such/setting"):
        Lab(hosts=["host"]).up()


def test_hosts_end_with_their_owner() -> None:
    source = (
        "import sys; from lab import Lab; lab = Lab(['host']).up(); print(lab.host.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    with owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        assert Identity.of(pid).alive()
        owner.send_signal(signal.SIGKILL)
    wait_for_end(pid)


def test_unknown_host_is_refused() -> None:
    with pytest.raises(LabError, match="expected one or more of host, peer, router, remote"):
        Lab(hosts=["nobody"])


def test_up_and_down_are_fast() -> None:
    began = time.monotonic()
    with Lab():
        pass
    assert time.monotonic() - began < 2


# The command line.


@pytest.fixture
def cli(tmp_path: Path):
    def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(TESTS), "XDG_RUNTIME_DIR": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-m", "lab", *argv], capture_output=True, text=True, timeout=30, check=check, env=env
        )

    yield run
    run("down", "--name", "test")


def test_lab_outlives_the_command_that_made_it(cli) -> None:
    made = json.loads(cli("up", "--name", "test", "--hosts", "host,peer", "--json").stdout)
    pid = made["hosts"]["host"]["pid"]
    assert set(made["hosts"]) == {"host", "peer"}
    assert made["hosts"]["host"]["addresses"] == [HOST_V4, HOST_V6]
    assert cli("exec", "--name", "test", "peer", "--", "ping", "-c1", HOST_V4).returncode == 0
    assert cli("exec", "--name", "test", "host", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert json.loads(cli("list", "--json").stdout) == [made]
    cli("down", "--name", "test")
    wait_for_end(pid)
    assert cli("list").stdout == ""


def test_commands_are_idempotent(cli) -> None:
    first = cli("up", "--name", "test", "--hosts", "host").stdout
    assert cli("up", "--name", "test", "--hosts", "host").stdout == first
    assert cli("up", "--name", "test").stdout == first
    assert "up without peer" in cli("up", "--name", "test", "--hosts", "host,peer", check=False).stderr
    cli("down", "--name", "test")
    cli("down", "--name", "test")


def test_lab_that_died_is_made_anew(cli) -> None:
    made = json.loads(cli("up", "--name", "test", "--hosts", "host", "--json").stdout)
    Identity(made["hosts"]["host"]["pid"], made["hosts"]["host"]["started"]).kill()
    assert "dead" in cli("list").stdout
    assert "is not up" in cli("exec", "--name", "test", "host", "--", "true", check=False).stderr
    cli("up", "--name", "test", "--hosts", "host")
    assert cli("exec", "--name", "test", "host", "--", "hostname").stdout == "host\n"


def test_process_that_took_over_the_pid_of_a_host_is_left_alone(cli, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1234"]) as bystander:
        process = {"pid": bystander.pid, "started": Identity.of(bystander.pid).started - 1}
        state = {"name": "test", "switch": process, "hosts": {"host": process}}
        (tmp_path / "lab-test.json").write_text(json.dumps(state))
        cli("down", "--name", "test")
        assert bystander.poll() is None
        bystander.kill()


# The connection of Ansible.


@pytest.fixture
def ansible(lab: Lab, tmp_path: Path):
    pytest.importorskip("ansible")
    inventory = tmp_path / "inventory"

    def run(module: str, arguments: str = "", pid: int = lab.host.pid, pipelining: bool = True) -> str:
        connection = f"ansible_connection=throwaway ansible_throwaway_pid={pid}"
        inventory.write_text(f"host {connection} ansible_python_interpreter={sys.executable}\n")
        env = {
            **os.environ,
            "ANSIBLE_CONNECTION_PLUGINS": str(TESTS / "lab/ansible/connection"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_PIPELINING": str(pipelining),
            "LC_ALL": "C.UTF-8",
        }
        argv = ["-m", "ansible", "adhoc", "host", "-i", str(inventory), "-m", module, "-a", arguments]
        done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=60, check=False, env=env)
        return done.stdout

    return run


@pytest.mark.parametrize("pipelining", [True, False])
def test_ansible_runs_modules_in_the_host(ansible, pipelining: bool) -> None:
    assert '"ping": "pong"' in ansible("ping", pipelining=pipelining)
    assert "192.0.2.10/24" in ansible("command", "ip -br address", pipelining=pipelining)


@pytest.mark.parametrize("directory", ["/run", "/var/lib", "/etc", "/etc/sysctl.d", "/etc/systemd/system"])
def test_ansible_copies_to_and_from_the_host(ansible, lab: Lab, tmp_path: Path, directory: str) -> None:
    (tmp_path / "sent").write_bytes(b"bytes \0 \xff\n")
    ansible("copy", f"src={tmp_path}/sent dest={directory}/copied")
    assert lab.host.run("sha256sum", f"{directory}/copied").stdout.split()[0] == _sha256(tmp_path / "sent")
    ansible("fetch", f"src={directory}/copied dest={tmp_path}/fetched flat=true")
    assert (tmp_path / "fetched").read_bytes() == (tmp_path / "sent").read_bytes()
    assert not Path(directory, "copied").exists()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_ansible_never_reaches_the_machine_itself(ansible) -> None:
    assert "UNREACHABLE" in ansible("ping", pid=os.getpid())
