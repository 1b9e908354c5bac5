"""A reload at SIGHUP replaces each file on its own, and counts its failures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from relay import RelaySettings
from relay.daemon.reload import Reloader
from relay.daemon.tls import CertificateFiles
from relay.server.serve import RelayHandle
from relay.server.state import RelayState
from tests.support.certificates import Certificate
from tests.support.recorded_events import Log

END = datetime(2031, 2, 3, tzinfo=UTC)


async def test_reload(tmp_path: Path) -> None:
    """A failure is counted and stays visible until a later reload succeeds."""
    token, certificate, log = tmp_path / "token", Certificate(tmp_path), Log()
    token.write_text("first")
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    handle = RelayHandle(RelayState(RelaySettings(token_file=str(token))), ("", 0))
    reloader = Reloader(handle, files, log.log, str(token))
    assert (reloader.failures, reloader.failed) == ({"certificate": 0, "token": 0}, set())

    token.write_text("two words")
    certificate.renew(expiry=END)
    for count in (1, 2):
        reloader.reload()
        assert (reloader.failures, reloader.failed) == (
            {"certificate": 0, "token": count},
            {"token"},
        )
    assert reloader.certificate_expiry == END.timestamp()

    token.write_text("second")
    certificate.key.unlink()
    reloader.reload()
    assert (reloader.failures, reloader.failed) == ({"certificate": 1, "token": 2}, {"certificate"})
    assert reloader.certificate_expiry == END.timestamp()

    token.unlink()
    log.lines()
    reloader.reload()
    assert reloader.failed == {"certificate", "token"}
    assert {line["event"] for line in log.lines()} == {"not reloaded"}

    token.write_text("third")
    certificate.renew()
    reloader.reload()
    assert (reloader.failures, reloader.failed) == ({"certificate": 2, "token": 3}, set())
    assert [(line["event"], line.get("what")) for line in log.lines()] == [
        ("reloaded", "certificate,token"),
        ("certificate", None),
        ("weak token", None),
    ]


async def test_no_files() -> None:
    """A relay without files has nothing to reload, which is no failure."""
    log = Log()
    reloader = Reloader(RelayHandle(RelayState(RelaySettings()), ("", 0)), None, log.log)
    reloader.reload()
    assert not reloader.failed
    assert reloader.certificate_expiry is None
    assert [(line["event"], line["what"]) for line in log.lines()] == [("reloaded", "nothing")]


async def test_unreadable_certificate(tmp_path: Path) -> None:
    """A certificate whose expiry cannot be read has none."""
    certificate, log = Certificate(tmp_path), Log()
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    files.certificate = None
    handle = RelayHandle(RelayState(RelaySettings()), ("", 0))
    reloader = Reloader(handle, files, log.log, str(tmp_path / "missing"))
    assert reloader.certificate_expiry is None
    reloader.log_files()
    assert log.text() == ""
