"""Common options of `arc-relay pipe` and `arc-relay forward`, and a way to open their sessions."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from ...client import Session, connect
from ...client.events import ClientEvent
from ...client.link import Link
from ...client.url import parse_url
from ..access import tls_context
from ..options import WrongUsage

OpenSession = Callable[..., AbstractAsyncContextManager[Session]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestOptions:
    """Options that `arc-relay pipe` and `arc-relay forward` have in common."""

    ca: str
    insecure: bool
    resume_timeout: float
    quiet: bool

    def tls_context(self, link: Link) -> ssl.SSLContext | None:
        """Return the TLS context for a link. Raises WrongUsage if the options do not fit it."""
        try:
            return tls_context(parse_url(link.url), self.ca, insecure=self.insecure)
        except ValueError as error:
            raise WrongUsage(str(error)) from None

    def session_opener(self, link: Link, on_event: Callable[[ClientEvent], None]) -> OpenSession:
        """Return a function that opens a session: `connect` with the arguments of this command.

        Raises WrongUsage if the options do not fit the link.
        """
        return partial(
            connect,
            link,
            ssl_context=self.tls_context(link),
            resume_timeout=self.resume_timeout,
            on_event=on_event,
        )
