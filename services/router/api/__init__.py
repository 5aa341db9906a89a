"""Leads, decisions, answers and the funnel over HTTP."""

from services.router.api.leads import Leads
from services.router.api.routes import router_router

__all__ = ["Leads", "router_router"]
