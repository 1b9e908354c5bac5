"""The benchmark over TLS: its socket, its certificate, its peers and their processes."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks import gate
from benchmarks.children import family
from benchmarks.peers import PEERS
from benchmarks.peers.proxied import fill
from benchmarks.rounds import Ready, plan
from benchmarks.tls import make_tls
from benchmarks.tls_socket import TLSSocket
from benchmarks.workloads import WORKLOADS

TIMEOUT = 5.0
TEMPLATES = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.fixture
def ends() -> Iterator[tuple[TLSSocket, ssl.SSLSocket]]:
    """Return a TLS socket of the load and its peer, an independent implementation."""
    near, far = socket.socketpair()
    near.settimeout(TIMEOUT)
    far.settimeout(TIMEOUT)
    end = TLSSocket(near, make_tls().client, server=False)
    with ThreadPoolExecutor(1) as pool, end:
        peer = pool.submit(make_tls().server.wrap_socket, far, server_side=True)
        for _ in end.handshake():
            pass
        with peer.result() as connected:
            yield end, connected


def test_both_ends_of_a_splice_can_be_tls_sockets() -> None:
    """A TLS socket is also a server, which is side B of a splice."""
    near, far = socket.socketpair()
    near.settimeout(TIMEOUT)
    far.settimeout(TIMEOUT)
    with (
        ThreadPoolExecutor(1) as pool,
        TLSSocket(near, make_tls().client, server=False) as a,
        TLSSocket(far, make_tls().server, server=True) as b,
    ):
        shaken = pool.submit(lambda: list(b.handshake()))
        assert list(a.handshake()) == [None]
        shaken.result()
        a.sendall(b"ping")
        assert b.recv(10) == b"ping"


def test_a_handshake_that_is_cut_off_is_an_error() -> None:
    """A peer that hangs up in the TLS handshake does not block the load."""
    near, far = socket.socketpair()
    near.settimeout(TIMEOUT)
    with TLSSocket(near, make_tls().client, server=False) as end:
        handshake = end.handshake()
        next(handshake)
        far.close()
        with pytest.raises(ConnectionError):
            next(handshake)


def test_data_crosses_a_tls_socket_in_any_chunks(ends: tuple[TLSSocket, ssl.SSLSocket]) -> None:
    """Reads smaller than a record, and larger than many, return the bytes in order."""
    end, peer = ends
    data = bytes(range(256)) * 256
    for size in (1, 4096, 1 << 20):
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(peer.sendall, data)
            arrived = b""
            while len(arrived) < len(data):
                arrived += end.recv(size)
            sending.result()
        assert arrived == data
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(end.sendall, data)
        arrived = b""
        while len(arrived) < len(data):
            arrived += peer.recv(1 << 20)
        sending.result()
    assert arrived == data


def test_records_that_have_arrived_are_one_read(ends: tuple[TLSSocket, ssl.SSLSocket]) -> None:
    """A record for each message does not cost the load a read for each."""
    end, peer = ends
    for _ in range(20):
        peer.sendall(b"x" * 100)
    assert end.recv_into(bytearray(1 << 20)) == 20 * 100


def test_a_part_of_a_record_is_no_data(ends: tuple[TLSSocket, ssl.SSLSocket]) -> None:
    """A non-blocking read raises BlockingIOError until the record is whole."""
    end, _ = ends
    end.setblocking(False)
    with pytest.raises(BlockingIOError):
        end.recv(100)


def test_the_end_behind_data_is_not_lost(ends: tuple[TLSSocket, ssl.SSLSocket]) -> None:
    """A close_notify that arrives together with data ends the stream at the next read."""
    end, peer = ends
    peer.sendall(b"last")
    peer.setblocking(False)
    with suppress(ssl.SSLWantReadError):
        peer.unwrap()
    assert [end.recv(100), end.recv(100), end.recv(100)] == [b"last", b"", b""]


def test_a_send_without_room_is_repeated(ends: tuple[TLSSocket, ssl.SSLSocket]) -> None:
    """A chunk that did not fit is sent once, however often it is repeated."""
    end, peer = ends
    end.setblocking(False)
    chunk = bytes(range(256)) * 256
    chunks = blocked = 0
    while blocked < 3:
        try:
            end.send(chunk)
            chunks += 1
        except BlockingIOError:
            blocked += 1
    arrived = bytearray()
    while len(arrived) < chunks * len(chunk):
        arrived += peer.recv(1 << 20)
    assert end.send(chunk) == len(chunk)
    while len(arrived) < (chunks + 1) * len(chunk):
        arrived += peer.recv(1 << 20)
    assert bytes(arrived) == chunk * (chunks + 1)


def test_the_workers_of_a_process_are_in_its_family() -> None:
    """The CPU time of a proxy includes its workers."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 30 & wait"]) as shell:
        deadline = time.monotonic() + TIMEOUT
        while len(members := list(family(shell.pid))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        for member in members[1:]:
            subprocess.run(["/bin/kill", str(member)], check=True)
    assert members[0] == shell.pid
    assert len(members) == 2


def test_a_configuration_of_a_proxy_has_only_names_that_are_filled() -> None:
    """No @NAME@ remains in the configuration of nginx or of Caddy."""
    names = dict.fromkeys(("CERT", "KEY", "PORT", "RELAY", "DIRECTORY"), "x")
    for template in ("nginx.conf", "Caddyfile"):
        text = (TEMPLATES / template).read_text(encoding="ascii")
        assert "@RELAY@" in text
        assert not re.search("@[A-Z]+@", fill(text, names))


def test_tls_is_another_workload_for_the_peers_that_serve_it() -> None:
    """Proxies are measured over TLS alone, peers without TLS in plain connections alone."""
    bulk = WORKLOADS[0]
    ready = [Ready(peer, []) for peer in PEERS]
    plain, secured = (
        {step.ready.peer.name for step in plan([workload], ready, 1)}
        for workload in (bulk, bulk.over_tls())
    )
    assert bulk.over_tls().name == "bulk-tls"
    assert plain - secured == {"wormhole"}
    assert secured - plain == {"nginx", "caddy"}


def test_the_gate_guards_tls_with_a_yardstick_that_serves_it() -> None:
    """Each bound names a workload, and a yardstick that is measured with it."""
    every = {each.name: each for each in [*WORKLOADS, *(w.over_tls() for w in WORKLOADS)]}
    peers = {peer.name: peer for peer in PEERS}
    assert any(every[bound.workload].tls for bound in gate.BASELINE)
    for bound in gate.BASELINE:
        workload, yardstick = every[bound.workload], peers[bound.yardstick]
        assert bound.point in workload.points
        assert yardstick.serves(workload)
