# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP and UDP servers and clients, run as a script inside hosts and containers.

    traffic.py serve tcp 0.0.0.0 8080 web       prints the port when it listens, ends with its standard input
    traffic.py ask tcp://192.0.2.10:8000 udp://[2001:db8::1]:53 ...          prints one JSON line per target
    traffic.py flow 192.0.2.10 8000             a connection that stays: one request and JSON line per input line

A server answers each line (TCP) or datagram (UDP) with {"server", "seen_from", "seen_port"}: its own name, and the
client's address and port as it sees them. Where no answer comes, the JSON is {"failure": why}.
"""

from __future__ import annotations

import argparse
import errno
import json
import socket
import sys
import threading

REQUEST = b"who?\n"
NO_ANSWER = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    # A packet filter's drop on the way out, and a prohibiting route.
    errno.EPERM: "not permitted",
    errno.EACCES: "prohibited",
}
# <linux/in.h>; the socket module of Python 3.11 lacks it.
IP_PKTINFO = 8


def _socket(protocol: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol])


def _answer(name: str, peer: tuple) -> bytes:
    return json.dumps({"server": name, "seen_from": peer[0], "seen_port": peer[1]}).encode() + b"\n"


def _serve(protocol: str, address: str, port: int, name: str) -> None:
    server = _socket(protocol, address)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if protocol == "tcp":
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    if protocol == "tcp":
        server.listen(128)
    else:
        _ask_for_destination(server)
    loop = _serve_tcp if protocol == "tcp" else _serve_udp
    threading.Thread(target=loop, args=(server, name), daemon=True).start()
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()


def _serve_tcp(server: socket.socket, name: str) -> None:
    while True:
        connection, peer = server.accept()
        threading.Thread(target=_serve_connection, args=(connection, _answer(name, peer)), daemon=True).start()


def _serve_connection(connection: socket.socket, answer: bytes) -> None:
    try:
        with connection, connection.makefile("rb") as requests:
            for _request in requests:
                connection.sendall(answer)
    except ConnectionError:
        pass


def _ask_for_destination(server: socket.socket) -> None:
    """Have the kernel say which address a datagram came to, so that the answer can come from there."""
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _serve_udp(server: socket.socket, name: str) -> None:
    while True:
        _data, destination, _flags, peer = server.recvmsg(2048, 128)
        try:
            server.sendmsg([_answer(name, peer)], [_as_source(item) for item in destination], 0, peer)
        except OSError as error:
            # The way back may be filtered or gone; that is no reason to stop serving others.
            if error.errno not in NO_ANSWER:
                raise


def _as_source(item: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """ip(7): the destination's pktinfo is the source's one, but an interface index in it would bypass routing."""
    level, kind, data = item
    return (level, kind, bytes(4) + data[4:]) if level == socket.IPPROTO_IP else item


class Client:
    """Asks servers, from a certain source if one is given."""

    def __init__(self, source: str | None, source_port: int, timeout: float) -> None:
        self.source, self.source_port, self.timeout = source, source_port, timeout

    def connect(self, protocol: str, address: str, port: int) -> socket.socket | dict:
        """A connected socket, or the failure."""
        client = self._bound(protocol, address)
        try:
            client.connect((address, port))
        except OSError as error:
            client.close()
            return failure(error)
        return client

    def _bound(self, protocol: str, address: str) -> socket.socket:
        client = _socket(protocol, address)
        client.settimeout(self.timeout)
        if self.source or self.source_port:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((self.source or ("::" if ":" in address else "0.0.0.0"), self.source_port))
        return client

    def ask(self, target: str) -> dict:
        client = self.connect(*parse(target))
        if isinstance(client, dict):
            return client
        with client:
            return request(client)


def request(client: socket.socket) -> dict:
    """One request on a connected socket: the server's answer, or the failure."""
    try:
        client.sendall(REQUEST)
        data = client.recv(2048)
    except OSError as error:
        return failure(error)
    return json.loads(data) if data else {"failure": "closed"}


def failure(error: OSError) -> dict:
    """Why no answer came. Raises what is no fate of a packet but a mistake of ours."""
    if isinstance(error, TimeoutError):
        return {"failure": "timeout"}
    if error.errno not in NO_ANSWER:
        raise error
    return {"failure": NO_ANSWER[error.errno]}


def parse(target: str) -> tuple[str, str, int]:
    protocol, _between, rest = target.partition("://")
    address, _between, port = rest.rpartition(":")
    return protocol, address.strip("[]"), int(port)


def _ask(client: Client, targets: list[str]) -> None:
    answers: list[dict | BaseException] = [RuntimeError("not asked")] * len(targets)

    def ask(number: int) -> None:
        try:
            answers[number] = client.ask(targets[number])
        except Exception as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(targets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        print(json.dumps(answer))


def _flow(client: Client, address: str, port: int) -> None:
    connection = client.connect("tcp", address, port)
    if isinstance(connection, dict):
        print(json.dumps(connection), flush=True)
        return
    print(json.dumps({}), flush=True)
    for _line in sys.stdin:
        print(json.dumps(request(connection)), flush=True)


def _arguments() -> argparse.Namespace:
    client = argparse.ArgumentParser(add_help=False)
    client.add_argument("--source")
    client.add_argument("--source-port", type=int, default=0)
    client.add_argument("--timeout", type=float, default=1)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("protocol", choices=("tcp", "udp"))
    serve.add_argument("address")
    serve.add_argument("port", type=int)
    serve.add_argument("name")
    commands.add_parser("ask", parents=[client]).add_argument("targets", nargs="+")
    flow = commands.add_parser("flow", parents=[client])
    flow.add_argument("address")
    flow.add_argument("port", type=int)
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    if args.command == "serve":
        _serve(args.protocol, args.address, args.port, args.name)
        return
    client = Client(args.source, args.source_port, args.timeout)
    if args.command == "ask":
        _ask(client, args.targets)
    else:
        _flow(client, args.address, args.port)


if __name__ == "__main__":
    main()
