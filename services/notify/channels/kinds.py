"""Which kinds of channels are there? A new one is one line here (channels/far.py says how)."""

from typing import Final

from services.notify.channels import email, hubspot, pipedrive, salesforce, slack, teams, webhook
from services.notify.channels.far import Kind

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        webhook.KIND,
        slack.WEBHOOK,
        slack.BOT,
        teams.KIND,
        email.KIND,
        hubspot.KIND,
        salesforce.KIND,
        pipedrive.KIND,
    )
}
