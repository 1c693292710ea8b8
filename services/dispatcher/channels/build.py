"""The channels that the settings ask for, by the queue each of them serves."""

from collections.abc import Mapping

import msgspec

from services.dispatcher.channels.log import LogChannel
from services.dispatcher.channels.mail import MailChannel
from services.dispatcher.channels.nobody import NobodyChannel
from services.dispatcher.channels.port import Channel
from services.dispatcher.channels.webhook import WebhookChannel
from services.dispatcher.commands import NOBODY
from services.dispatcher.settings import DispatcherSettings

NOBODY_CONCURRENCY = 100


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A channel and how many sends it may have under way."""

    channel: Channel
    concurrency: int


def build_channels(settings: DispatcherSettings) -> Mapping[str, Served]:
    """Build them; nothing connects yet.

    Raises:
        SystemExit: the file of a webhook's secret cannot be used.
    """
    served = {
        NOBODY: Served(channel=NobodyChannel(), concurrency=NOBODY_CONCURRENCY),
        "log": Served(
            channel=LogChannel(settings.dispatcher_log_file),
            concurrency=settings.dispatcher_log_concurrency,
        ),
    }
    for name in settings.dispatcher_webhooks:
        served[f"webhook:{name}"] = Served(
            channel=_webhook(settings, name),
            concurrency=settings.dispatcher_webhook_concurrency,
        )
    if settings.dispatcher_mail_host:
        served["mail"] = Served(
            channel=_mail(settings), concurrency=settings.dispatcher_mail_concurrency
        )
    return served


def _webhook(settings: DispatcherSettings, name: str) -> WebhookChannel:
    endpoint = settings.dispatcher_webhooks[name]
    try:
        keys = endpoint.keys()
    except (OSError, ValueError) as error:
        raise SystemExit(f"cuestream: secret of webhook {name}: {error}") from error
    return WebhookChannel(
        url=str(endpoint.url),
        keys=keys,
        timeout_seconds=settings.dispatcher_webhook_timeout_seconds,
        private_allowed=settings.dispatcher_webhook_private,
        connections_max=settings.dispatcher_webhook_concurrency,
    )


def _mail(settings: DispatcherSettings) -> MailChannel:
    return MailChannel(
        host=settings.dispatcher_mail_host,
        port=settings.dispatcher_mail_port,
        tls=settings.dispatcher_mail_tls,
        user=settings.dispatcher_mail_user or None,
        password=settings.dispatcher_mail_password.get_secret_value() or None,
        sender=settings.dispatcher_mail_from,
        domain=settings.dispatcher_mail_domain,
        timeout_seconds=settings.dispatcher_mail_timeout_seconds,
    )
