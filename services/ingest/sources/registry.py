"""Which platforms are there? The one place that knows them all: a new platform is its file and a line here."""

from collections.abc import Mapping
from typing import Final

from services.ingest.sources import (
    activecampaign,
    braze,
    brevo,
    calendly,
    close_crm,
    cloudevents,
    customerio,
    facebook_lead_ads,
    formsort,
    hubspot,
    intercom,
    iterable,
    json_map,
    mailchimp,
    mailgun,
    mailjet,
    mandrill,
    marketo,
    mautic,
    ortto,
    pipedrive,
    posthog,
    postmark,
    resend,
    salesforce,
    segment,
    sendgrid,
    snowplow,
    sparkpost,
    standardwebhooks,
    typeform,
    unbounce,
    vero,
)
from services.ingest.sources.base import Platform

PLATFORMS: Final[Mapping[str, Platform]] = {
    platform.name: platform
    for platform in (
        segment.PLATFORM,
        posthog.PLATFORM,
        snowplow.PLATFORM,
        cloudevents.PLATFORM,
        standardwebhooks.PLATFORM,
        json_map.PLATFORM,
        activecampaign.PLATFORM,
        braze.PLATFORM,
        brevo.PLATFORM,
        calendly.PLATFORM,
        close_crm.PLATFORM,
        customerio.PLATFORM,
        facebook_lead_ads.PLATFORM,
        formsort.PLATFORM,
        hubspot.PLATFORM,
        intercom.PLATFORM,
        iterable.PLATFORM,
        mailchimp.PLATFORM,
        mailgun.PLATFORM,
        mailjet.PLATFORM,
        mandrill.PLATFORM,
        marketo.PLATFORM,
        mautic.PLATFORM,
        ortto.PLATFORM,
        pipedrive.PLATFORM,
        postmark.PLATFORM,
        resend.PLATFORM,
        salesforce.PLATFORM,
        sendgrid.PLATFORM,
        sparkpost.PLATFORM,
        typeform.PLATFORM,
        unbounce.PLATFORM,
        vero.PLATFORM,
    )
}
# Other names that people give for a platform.
ALIASES: Final[Mapping[str, str]] = {
    "rudderstack": "segment",
    "standard-webhooks": "standardwebhooks",
    "http": "segment",
    "generic": "json",
    "generic-json": "json",
    "webhook": "json",
    "active-campaign": "activecampaign",
    "braze-currents": "braze",
    "close": "close_crm",
    "customer.io": "customerio",
    "customer-io": "customerio",
    "facebook": "facebook_lead_ads",
    "facebook-lead-ads": "facebook_lead_ads",
    "mailchimp-marketing": "mailchimp",
    "mailchimp-transactional": "mandrill",
    "sendinblue": "brevo",
    "twilio-sendgrid": "sendgrid",
}


def platform_named(name: str) -> Platform | None:
    """The platform of that name, or of an alias; None when there is none."""
    folded = name.strip().casefold()
    return PLATFORMS.get(ALIASES.get(folded, folded))
