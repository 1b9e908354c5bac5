"""Fixtures for the tests of endpoints."""

from tests.support.endpoints import endpoints

__all__ = ["endpoints"]
