"""The HTTP side of the dispatcher, put together."""

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatcher.addresses import PostgresAddresses, Quarantine
from services.dispatcher.api import make_app
from services.dispatcher.bounces import BounceFolder, Bounces, KnownSends
from services.dispatcher.channels.build import build_links
from services.dispatcher.erasing import erasures_of
from services.dispatcher.inbox import InboxStore
from services.dispatcher.inbox_api import InboxDoors, add_inbox
from services.dispatcher.inbox_stream import InboxStreams
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.provider_settings import AliyunSms, TwilioSms
from services.dispatcher.public import Doors, add_doors
from services.dispatcher.receipts import Receipts
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.tasks import TaskStore
from services.dispatcher.tasks_api import add_tasks
from services.runtime.bearer import BearerTokens
from services.runtime.clock import make_clock
from services.runtime.erasing_api import erasure_routes
from services.runtime.health import Health
from services.runtime.metrics import Metrics


class Front:
    """The application with all its parts; `receipts` have to be attached to a log, and
    `streams` and the `bounce_folder`, if there is one, to run, for those to work.

    Raises:
        SystemExit: when made: the file of a secret cannot be used.
    """

    def __init__(
        self,
        settings: DispatcherSettings,
        engine: AsyncEngine,
        *,
        metrics: Metrics,
        health: Health,
    ) -> None:
        reader = LedgerReader(engine)
        self.receipts = Receipts(make_clock(settings.clock), metrics)
        self.streams = InboxStreams()
        quarantine = Quarantine(
            failures=settings.dispatcher_quarantine_failures,
            days=settings.dispatcher_quarantine_days,
        )
        bounces = Bounces(
            sends=KnownSends(reader, LedgerChanges(engine)),
            receipts=self.receipts,
            addresses=PostgresAddresses(engine, quarantine),
            metrics=metrics,
        )
        folder = settings.dispatcher_bounce_folder
        self.bounce_folder = None if folder is None else BounceFolder(folder, bounces)
        self.app: FastAPI = make_app(
            reader, tokens=BearerTokens(settings), metrics=metrics, health=health
        )
        add_tasks(self.app, TaskStore(engine, settings.keyring()))
        self.app.include_router(erasure_routes(erasures_of(engine)))
        links = build_links(settings)
        if links is None:
            add_doors(self.app, None)
            add_inbox(self.app, None)
            return
        providers = settings.dispatcher_sms.items()
        twilio = {name: one for name, one in providers if isinstance(one, TwilioSms)}
        aliyun = {name: one for name, one in providers if isinstance(one, AliyunSms)}
        doors = Doors(
            links=links,
            receipts=self.receipts,
            sends=reader,
            receipt_keys=settings.receipt_keys(),
            twilio={name: one.read("token") for name, one in twilio.items()},
            aliyun={name: one.read("receipt_token") for name, one in aliyun.items()},
            bounces=bounces,
            bounce_token=settings.dispatcher_bounce_token.get_secret_value(),
        )
        inbox = InboxDoors(
            links=links,
            store=InboxStore(engine, settings.keyring()),
            streams=self.streams,
            receipts=self.receipts,
        )
        add_doors(self.app, doors)
        add_inbox(self.app, inbox)
