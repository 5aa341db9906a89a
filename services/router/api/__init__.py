"""Leads, decisions, answers and the funnel over HTTP."""

from services.router.api.desk import LeadDesk
from services.router.api.leads import Leads
from services.router.api.routes import router_router

__all__ = ["LeadDesk", "Leads", "router_router"]
