"""The channels that the settings ask for, by the queue each of them serves."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatcher.channels.aliyun import AliyunChannel
from services.dispatcher.channels.inbox import InboxChannel
from services.dispatcher.channels.log import LogChannel
from services.dispatcher.channels.mail import MailChannel
from services.dispatcher.channels.nobody import NobodyChannel
from services.dispatcher.channels.outgoing import Outgoing
from services.dispatcher.channels.port import Channel
from services.dispatcher.channels.push import FcmChannel
from services.dispatcher.channels.sms import HttpSmsChannel, TwilioChannel
from services.dispatcher.channels.tasks import HandoffChannel, TaskChannel
from services.dispatcher.channels.webhook import WebhookChannel
from services.dispatcher.channels.wecom import WecomBotChannel, WecomCustomerChannel
from services.dispatcher.commands import NOBODY
from services.dispatcher.inbox import InboxStore
from services.dispatcher.links import Links
from services.dispatcher.provider_settings import (
    AliyunSms,
    SmsProvider,
    TwilioSms,
    WecomBot,
    WecomEndpoint,
)
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.tasks import TaskStore

NOBODY_CONCURRENCY = 100
TASKS = "tasks"
"""The endpoint of handoffs that go into the table alone, to nobody's webhook."""

T = TypeVar("T")


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A channel and how many sends it may have under way."""

    channel: Channel
    concurrency: int


def build_links(settings: DispatcherSettings) -> Links | None:
    """Links that lead back to us; None where no public address is set."""
    keys = settings.link_keys()
    return Links(settings.dispatcher_public_url, keys) if keys else None


def build_channels(
    settings: DispatcherSettings, engine: AsyncEngine | None = None
) -> Mapping[str, Served]:
    """Build them; nothing connects yet. Without an `engine` nothing that is stored is served.

    The first SMS provider serves the queue `sms`, each other one `sms:<name>`, where the
    settings may have it stand in; push likewise.

    Raises:
        SystemExit: the file of a secret cannot be used.
    """
    links = build_links(settings)
    tasks = None if engine is None else TaskStore(engine, settings.keyring())
    served = {
        NOBODY: Served(channel=NobodyChannel(), concurrency=NOBODY_CONCURRENCY),
        "log": Served(
            channel=LogChannel(settings.dispatcher_log_file),
            concurrency=settings.dispatcher_log_concurrency,
        ),
    }
    for name in settings.dispatcher_webhooks:
        served[f"webhook:{name}"] = Served(
            channel=_webhook(settings, name, tasks),
            concurrency=settings.dispatcher_webhook_concurrency,
        )
    if tasks is not None:
        served.setdefault(
            f"webhook:{TASKS}",
            Served(channel=TaskChannel(tasks), concurrency=settings.dispatcher_inbox_concurrency),
        )
    if engine is not None:
        served["inbox"] = Served(
            channel=InboxChannel(InboxStore(engine, settings.keyring())),
            concurrency=settings.dispatcher_inbox_concurrency,
        )
    if settings.dispatcher_mail_host:
        served["mail"] = Served(
            channel=_mail(settings, links), concurrency=settings.dispatcher_mail_concurrency
        )
    served.update(_providers(settings, links))
    return served


def _providers(settings: DispatcherSettings, links: Links | None) -> dict[str, Served]:
    makers: dict[str, Callable[[], Channel]] = {}
    for number, (name, provider) in enumerate(settings.dispatcher_sms.items()):
        queue = f"sms:{name}" if number else "sms"
        makers[queue] = partial(_sms, settings, name, provider, links)
    for number, (name, account) in enumerate(settings.dispatcher_push.items()):
        queue = f"push:{name}" if number else "push"
        makers[queue] = partial(FcmChannel, account, outgoing=_outgoing(settings))
    for name, endpoint in settings.dispatcher_wecom.items():
        makers[f"wecom:{name}"] = partial(_wecom, settings, endpoint)
    return {
        queue: Served(
            channel=_made(f"provider {queue}", make),
            concurrency=settings.dispatcher_provider_concurrency,
        )
        for queue, make in makers.items()
    }


def _outgoing(settings: DispatcherSettings) -> Outgoing:
    return Outgoing(
        timeout_seconds=settings.dispatcher_provider_timeout_seconds,
        private_allowed=settings.dispatcher_provider_private,
        connections_max=settings.dispatcher_provider_concurrency,
    )


def _sms(
    settings: DispatcherSettings, name: str, provider: SmsProvider, links: Links | None
) -> Channel:
    outgoing = _outgoing(settings)
    if isinstance(provider, TwilioSms):
        return TwilioChannel(provider, name=name, outgoing=outgoing, links=links)
    if isinstance(provider, AliyunSms):
        return AliyunChannel(provider, outgoing=outgoing)
    return HttpSmsChannel(provider, outgoing=outgoing)


def _wecom(settings: DispatcherSettings, endpoint: WecomEndpoint) -> Channel:
    outgoing = _outgoing(settings)
    if isinstance(endpoint, WecomBot):
        return WecomBotChannel(endpoint, outgoing=outgoing)
    return WecomCustomerChannel(endpoint, outgoing=outgoing)


def _webhook(settings: DispatcherSettings, name: str, tasks: TaskStore | None) -> Channel:
    endpoint = settings.dispatcher_webhooks[name]
    webhook = WebhookChannel(
        url=str(endpoint.url),
        keys=_made(f"secret of webhook {name}", endpoint.keys),
        timeout_seconds=settings.dispatcher_webhook_timeout_seconds,
        private_allowed=settings.dispatcher_webhook_private,
        connections_max=settings.dispatcher_webhook_concurrency,
    )
    return webhook if tasks is None else HandoffChannel(webhook, tasks)


def _made(what: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except (OSError, ValueError) as error:
        raise SystemExit(f"cuestream: {what}: {error}") from error


def _mail(settings: DispatcherSettings, links: Links | None) -> MailChannel:
    return MailChannel(
        host=settings.dispatcher_mail_host,
        port=settings.dispatcher_mail_port,
        tls=settings.dispatcher_mail_tls,
        user=settings.dispatcher_mail_user or None,
        password=settings.dispatcher_mail_password.get_secret_value() or None,
        sender=settings.dispatcher_mail_from,
        domain=settings.dispatcher_mail_domain,
        timeout_seconds=settings.dispatcher_mail_timeout_seconds,
        links=links,
        bounces=settings.dispatcher_mail_bounces,
    )
