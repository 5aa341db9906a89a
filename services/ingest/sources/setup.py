"""What does somebody have to do in each platform? The steps, and what its secret is, by platform: words alone.

`{hook}` stands for the address of the source's hook, `{basic}` for the same with a password in it, `{base}` for ours. The pages in `docs/sources` say more.
"""

from collections.abc import Mapping
from typing import Final

import msgspec


class Setup(msgspec.Struct, frozen=True):
    """The steps in the platform, in order, and where its secret comes from."""

    steps: tuple[str, ...]
    secret: str


def _unsigned(who: str, where: str) -> str:
    return (
        f"{who} signs nothing. Give the source a secret and put the same text where {who} lets you: {where}. "
        "Without a secret the address alone is the key: treat it as a password."
    )


SETUP: Final[Mapping[str, Setup]] = {
    "activecampaign": Setup(
        (
            (
                "Settings, Developer, Manage webhooks: paste the address {hook} with `?secret=…`, choose the events; "
                "*initialized by* all but API and system."
            ),
        ),
        _unsigned("ActiveCampaign", "`?secret=` in the address"),
    ),
    "braze": Setup(
        (
            (
                "Partner Integrations, Data Export: a *Custom HTTP* Current with the address {hook}; put the secret in "
                "as bearer token."
            ),
        ),
        _unsigned("Braze", "the bearer token"),
    ),
    "brevo": Setup(
        (
            (
                "Transactional, Settings, Webhook; and Contacts, Settings, Webhooks for marketing: paste the address "
                "{hook}, choose the events."
            ),
            "Choose *token* or *basic* as authentication.",
        ),
        _unsigned("Brevo", "Basic or bearer token"),
    ),
    "calendly": Setup(
        (
            (
                "Create a webhook subscription by API: events `invitee.created`, `invitee.canceled`, "
                "`invitee_no_show.created`, `routing_form_submission.created`; the answer has the signing key."
            ),
            "The address to call is {hook}.",
        ),
        "The signing key; three minutes either way.",
    ),
    "close_crm": Setup(
        (
            (
                "Create a webhook by API for `opportunity`, `contact` and `activity.email`; the answer has the "
                "signature key."
            ),
            "The address to call is {hook}.",
        ),
        "The signature key (hex).",
    ),
    "cloudevents": Setup(
        (
            "POST to {base}/events with the write key (Basic or bearer), in structured, batched or binary mode.",
            (
                "`type` is `leadrouter.<signal>.v1` or an event's name; `subject` is the person's address or user id; "
                "`data` holds what is known."
            ),
        ),
        "None: the write key says whose it is.",
    ),
    "customerio": Setup(
        (
            (
                "Data and integrations, Reporting webhooks: paste the address {hook}, choose the events, copy the "
                "signing key."
            ),
        ),
        (
            "The signing key. The signature covers `v0:stamp:body`. There is no time window: a retry can come after "
            "seven days."
        ),
    ),
    "facebook_lead_ads": Setup(
        (
            (
                "App dashboard, Webhooks, Page: callback address, and as *verify token* the id of the source (the last "
                "part of the address {hook}). Subscribe to `leadgen`."
            ),
        ),
        "The app secret (`X-Hub-Signature-256`).",
    ),
    "formsort": Setup(
        (
            (
                "Flow, Integrations, Webhooks: paste the address {hook}, submit on *finalized*, security *sign*; copy "
                "the signing key."
            ),
        ),
        "The signing key (HMAC, URL-safe base64).",
    ),
    "hubspot": Setup(
        (
            (
                "*App webhooks*: in your app, Webhooks, set the address {hook} as target and subscribe to contact "
                "creation, property change, merge, deletion, privacy deletion, and deal property change of `dealstage`."
            ),
            (
                "*Workflow*: action *Send a webhook*, POST, request authentication by a header `X-Api-Key` with the "
                "source's secret."
            ),
            "Behind a proxy set `LEAD_ROUTER_PUBLIC_URL`: the signature covers the address as HubSpot called it.",
        ),
        (
            "The app's client secret (v3 signature, five minutes either way). v1 and v2 are hashes without a key and "
            "are not accepted. A workflow has no usable signature: it repeats the secret in a header."
        ),
    ),
    "intercom": Setup(
        (
            (
                "Developer hub, your app, Webhooks: paste the address {hook}, choose the topics. HEAD and `ping` are "
                "answered."
            ),
        ),
        "The app's client secret (SHA-1 over the raw body).",
    ),
    "iterable": Setup(
        ("Integrations, System webhooks: paste the address {hook}, add a header `X-Api-Key`, choose the events.",),
        _unsigned("Iterable", "a custom header or Basic"),
    ),
    "json": Setup(
        ("Write the field map behind the hook's address: `{hook}?event=/type&email=/contact/email&time=/at`.",),
        _unsigned("Your sender", "Basic, bearer, header `X-Api-Key` or `?secret=`"),
    ),
    "mailchimp": Setup(
        (
            (
                "Audience, Settings, Webhooks: create one with the address {hook} and `?secret=…` behind it. Mailchimp "
                "checks it with a GET."
            ),
            (
                "Choose subscribes, unsubscribes, profile updates, cleaned, e-mail changes; leave *via the API* off if "
                "our own writes come back that way."
            ),
        ),
        _unsigned("Mailchimp", "`?secret=` in the address"),
    ),
    "mailgun": Setup(
        (
            "Sending, Webhooks: add the address {hook} for each event type.",
            "Copy the *HTTP webhook signing key* from the API security page.",
        ),
        (
            "The signing key. The signature covers a time stamp and a token, **not the event**: the same token with "
            "another body is refused with 401 (each process remembers the last 100,000 tokens). Use HTTPS."
        ),
    ),
    "mailjet": Setup(
        (
            (
                "Account, Event notifications: paste the address with Basic (`{basic}`) for each event; turn *group "
                "events* on."
            ),
        ),
        _unsigned("Mailjet", "Basic in the address"),
    ),
    "mandrill": Setup(
        (
            (
                "Settings, Webhooks: add the address {hook}. Mandrill makes the key only now, after a HEAD and an empty "
                "post: both are answered."
            ),
            (
                "Copy the key of the new webhook and set it: `lead-router source rotate …` with the key, or make the "
                "source again with `--secret`."
            ),
            "Behind a proxy set `LEAD_ROUTER_PUBLIC_URL`: Mandrill signs the exact address it called.",
        ),
        "The webhook's key. The signature covers the address and every form field.",
    ),
    "marketo": Setup(
        (
            (
                "Admin, Webhooks: New Webhook, POST, request type JSON, the template of docs/sources/marketo.md, and a "
                "custom header `X-Api-Key: SECRET`."
            ),
            "Use it as a *Call Webhook* flow step in **trigger** campaigns (one a kind of event).",
            "The address to call is {hook}.",
        ),
        _unsigned("Marketo", "the custom header"),
    ),
    "mautic": Setup(
        (
            (
                "Settings, Webhooks: paste the address {hook}, set a secret, choose email open, page hit, form submit, "
                "contact created, updated, deleted, subscription change."
            ),
            (
                "Configuration, Webhook settings: choose **queue** mode and run `mautic:webhooks:process` by cron. "
                "Immediate mode loses events on failure."
            ),
        ),
        "The webhook's secret. The signature covers PHP's own bytes.",
    ),
    "ortto": Setup(
        (
            (
                "A journey or playbook action *Webhook*, or Settings, Webhooks: paste the address {hook}, Basic or a "
                "header `X-Api-Key`."
            ),
        ),
        _unsigned("Ortto", "Basic or a header"),
    ),
    "pipedrive": Setup(
        (
            (
                "Tools, Webhooks: event object *deal* and *person*, all actions, the address {hook}, and Basic with the "
                "secret as password."
            ),
        ),
        _unsigned("Pipedrive", "Basic"),
    ),
    "posthog": Setup(
        (
            (
                "Set `host` (server) or `api_host` (browser) to {base} and the key to a write key of ours; "
                "`publishable` for browsers."
            ),
            (
                "In the browser set `advanced_disable_flags: true` and `disable_external_dependency_loading: true`: we "
                "serve no flags."
            ),
        ),
        "None: the write key stands in the body (`api_key`) or as a bearer token.",
    ),
    "postmark": Setup(
        (
            "Servers, your server, Webhooks: add the address with a user and password: `{basic}`.",
            "Choose open, click, bounce, spam complaint, delivery and subscription change.",
        ),
        _unsigned("Postmark", "Basic in the address, or a custom header `X-Api-Key`"),
    ),
    "resend": Setup(
        ("Webhooks, Add webhook: paste the address {hook}, choose the events, copy the signing secret.",),
        (
            "The signing secret (`whsec_…`). Svix signs as Standard Webhooks does, under `svix-…` headers; five minutes "
            "either way."
        ),
    ),
    "salesforce": Setup(
        (
            "Setup, Named Credentials: the address {hook}; a custom header `X-Api-Key` with the secret.",
            (
                "A record-triggered Flow on Opportunity (and Lead, Contact) with an HTTP callout, POST, and the body of "
                "docs/sources/salesforce.md."
            ),
        ),
        _unsigned("Salesforce", "the custom header"),
    ),
    "segment": Setup(
        (
            (
                "SDKs of Segment and RudderStack: set the host (`host`, `dataPlaneUrl`, `apiHost`) to {base} and the "
                "write key to this source's key. In web pages use a publishable key."
            ),
            (
                "Webhook destination of Segment: Connections, Destinations, Webhooks: the address {hook} and the shared "
                "secret. Leave the batch size at 1."
            ),
        ),
        "The webhook destination's shared secret; SDKs send the write key alone.",
    ),
    "sendgrid": Setup(
        (
            (
                "Settings, Mail Settings, Event Webhook: paste the address {hook}, choose the events (delivered, "
                "opened, clicked, bounced, dropped, spam reports, unsubscribes)."
            ),
            "Turn on *Signed Event Webhook* and copy the verification key.",
        ),
        (
            "The verification key (base64). It is a public key: `--secret MFkw…`. A signature covers time stamp and raw "
            "body. SendGrid defines no tolerance for the stamp, so repeats are told by `sg_event_id` alone."
        ),
    ),
    "snowplow": Setup(
        (("Set the collector (`endpoint`) to {base} and `appId` to a write key of ours; `publishable` for browsers."),),
        "None: the application id is the write key.",
    ),
    "sparkpost": Setup(
        ("Configuration, Webhooks: paste the address {hook}, choose Basic or OAuth; the test ping is answered.",),
        _unsigned("SparkPost", "Basic"),
    ),
    "standardwebhooks": Setup(
        (
            (
                "POST to {base}/events or {hook}, signed with this source's secret: `webhook-id`, `webhook-timestamp`, "
                "`webhook-signature`."
            ),
            'Send `{{"type": "form.submitted", "timestamp": "…", "data": {{"email": "anne@nordwind.example"}}}}`.',
        ),
        "The secret that was shown when the source was made (`whsec_…`); five minutes either way.",
    ),
    "typeform": Setup(
        ("Your form, Connect, Webhooks: paste the address {hook}, set a secret, turn it on.",),
        "The secret you set.",
    ),
    "unbounce": Setup(
        ("Your page, Integrations, Webhook: POST to the address {hook} with `?secret=…`.",),
        _unsigned("Unbounce", "`?secret=` in the address"),
    ),
    "vero": Setup(
        ("Settings, Webhooks: paste the address {hook} with `?secret=…`.",),
        _unsigned("Vero", "`?secret=` in the address"),
    ),
}


def steps_of(platform: str, base: str, source_id: str) -> list[str]:
    """The steps for one source, with its addresses in them."""
    hook = f"{base}/hooks/{source_id}"
    scheme, _, host = base.partition("://")
    basic = f"{scheme}://any:SECRET@{host}/hooks/{source_id}"
    return [step.format(base=base, hook=hook, basic=basic) for step in SETUP[platform].steps]
