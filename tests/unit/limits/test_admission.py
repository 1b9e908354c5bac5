"""Slots, the token, and the limit of waiting sides, without a relay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits.admission import AdmissionControl, token_matches
from relay.limits.reason import Reason, Refusal

FULL = Refusal(Reason.RELAY_IS_FULL)


class TestSlots:
    """Admitted connections."""

    def test_slot_is_held_until_it_is_released(self) -> None:
        """A refused connection holds no slot; a released slot is free for another connection."""
        admission = AdmissionControl(max_connections=2)
        asked = [admission.admit(name, "", 0.0) for name in "abc"]
        assert asked == [None, None, FULL]
        assert admission.full
        admission.release("c")
        assert admission.admit("c", "", 0.0) == FULL
        admission.release("a")
        admission.release("a")
        assert admission.admit("c", "", 0.0) is None

    @pytest.mark.parametrize(
        ("limit", "descriptors", "in_force"),
        [(None, 5, 4), (None, 20, 18), (None, 0, 0), (7, 5, 7)],
    )
    def test_default(self, limit: int | None, descriptors: int, in_force: int) -> None:
        """By default, connections have 90 % of the descriptors."""
        admission = AdmissionControl(max_connections=limit, descriptors=descriptors)
        assert admission.max_connections == in_force

    def test_clients_share_a_limit_by_their_network(self) -> None:
        """Two addresses of one /64 are one client. Its slots are released with its connections."""
        admission = AdmissionControl(max_connections_per_client=1)
        assert admission.admit("a", "2001:db8::1", 0.0) is None
        refused = Refusal(Reason.TOO_MANY_CONNECTIONS)
        assert admission.admit("b", "2001:db8::2", 0.0) == refused
        admission.release("b")
        assert admission.admit("b", "2001:db8::2", 0.0) == refused
        admission.release("a")
        assert admission.admit("b", "2001:db8::2", 0.0) is None


class TestToken:
    """Authorization by the token in force."""

    def test_relay_without_a_token(self) -> None:
        """Each client is authorized, also one that shows a token."""
        admission = AdmissionControl()
        assert not admission.needs_token
        for token in (None, b"", b"any"):
            assert admission.is_authorized(admission.authorize(token))

    def test_token_in_force(self) -> None:
        """Only the token in force authorizes a client."""
        admission = AdmissionControl()
        admission.set_token(b"s3cret")
        assert admission.needs_token
        for token in (None, b"", b"other"):
            assert not admission.is_authorized(admission.authorize(token))
        assert admission.is_authorized(admission.authorize(b"s3cret"))

    def test_new_token_revokes(self) -> None:
        """A new token revokes authorizations, even if it is replaced by the old one again."""
        admission = AdmissionControl()
        admission.set_token(b"old")
        authorization = admission.authorize(b"old")
        admission.set_token(b"old")
        assert admission.is_authorized(authorization)
        for token in (b"new", b"old"):
            admission.set_token(token)
            assert not admission.is_authorized(authorization)

    @pytest.mark.parametrize(
        ("shown", "reopened", "reason"),
        [
            (b"s3cret", True, None),
            (b"s3cret", False, None),
            (b"other", False, Reason.TOKEN_REQUIRED),
            (None, True, Reason.NO_AUTHORIZED_HOST),
        ],
    )
    def test_new_code(self, shown: bytes | None, reopened: bool, reason: Reason | None) -> None:
        """A new code needs the token; the reason tells if the code was in use before."""
        admission = AdmissionControl()
        admission.set_token(b"s3cret")
        refusal = admission.check_new_code(admission.authorize(shown), 100, reopened=reopened)
        assert refusal == (reason and Refusal(reason))

    @pytest.mark.parametrize("client", [True, False])
    @pytest.mark.parametrize("host", [True, False])
    def test_join(self, client: bool, host: bool) -> None:
        """Either side of a pair must be authorized."""
        admission = AdmissionControl()
        admission.set_token(b"s3cret")
        known, unknown = admission.authorize(b"s3cret"), admission.authorize(b"other")
        refusal = admission.check_join(known if client else unknown, known if host else unknown)
        assert (refusal is None) is (client or host)
        assert refusal in {None, Refusal(Reason.NO_AUTHORIZED_HOST)}

    @given(st.text(), st.text())
    def test_token_matches(self, given: str, expected: str) -> None:
        """A token matches if it is the expected one, and not empty."""
        assert token_matches(given.encode(), expected.encode()) == (given == expected != "")
        assert token_matches(expected.encode(), expected.encode()) == (expected != "")
        assert not token_matches(None, expected.encode())

    def test_token_is_compared_as_a_whole(self) -> None:
        """A part of a token, or a token with a suffix, is another token."""
        assert token_matches(b"s3cret", b"s3cret")
        for wrong in (b"s3cre", b"s3crets", b"S3CRET", b"s3cret\n", b""):
            assert not token_matches(wrong, b"s3cret")


def test_limit_of_waiting_sides() -> None:
    """At the limit no new code is opened."""
    admission = AdmissionControl(max_waiting=2)
    found = [admission.check_new_code(0, waiting) for waiting in (0, 1, 2, 3)]
    refused = Refusal(Reason.TOO_MANY_WAITING)
    assert found == [None, None, refused, refused]
