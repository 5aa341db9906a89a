"""Reads `lead.scored` and the timers; writes decisions, and sends them on."""

from services.router.handler.scored import RouterHandler

__all__ = ["RouterHandler"]
