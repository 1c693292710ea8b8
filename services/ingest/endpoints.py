"""The one way every call takes, from headers to answer."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.contracts.errors import Transient
from services.contracts.metrics import INGEST_REQUESTS, INGEST_SECONDS
from services.ingest.answers import answer_refused, answer_transient, answer_verdict
from services.ingest.batch import Batch, read_batch, read_single
from services.ingest.body import decoded_body, overloaded, read_body, too_large
from services.ingest.intake import Intake, Verdict
from services.ingest.keys import WriteKey, WriteKeys, key_of_header
from services.ingest.refusals import Refused
from services.ingest.settings import IngestSettings
from services.runtime.metrics import Metrics

MILLIS: Final = 1000.0
CLIENT_CLOSED: Final = 499
"""As nginx counts it: nobody is there to read the answer."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """Makes the endpoint of each path. `implied_type` None is the batch."""

    def __init__(
        self, settings: IngestSettings, intake: Intake, keys: WriteKeys, metrics: Metrics
    ) -> None:
        self._intake: Final = intake
        self._keys: Final = keys
        self._body_bytes_max: Final = settings.ingest_body_bytes_max
        self._body_timeout_seconds: Final = settings.ingest_body_timeout_ms / MILLIS
        self._batch_events_max: Final = settings.ingest_batch_events_max
        self._requests: Final = metrics.counter(INGEST_REQUESTS)
        self._seconds: Final = metrics.histogram(INGEST_SECONDS)

    def of(self, implied_type: str | None) -> Endpoint:
        """The endpoint for messages of this type."""

        async def endpoint(request: Request) -> Response:
            started = time.perf_counter()
            try:
                verdict = await self._take(request, implied_type)
                response = answer_verdict(verdict, single=implied_type is not None)
            except Refused as refused:
                response = answer_refused(refused)
            except Transient as error:
                response = answer_transient(error)
            except ClientDisconnect:
                response = Response(status_code=CLIENT_CLOSED)
            self._seconds.observe(time.perf_counter() - started)
            self._requests.labels(str(response.status_code)).inc()
            return response

        return endpoint

    async def _take(self, request: Request, implied_type: str | None) -> Verdict:
        headers = request.headers
        presented = key_of_header(headers.get("authorization"))
        key = None if presented is None else self._known(presented)
        pressure = self._intake.pressure
        if pressure.is_full:
            raise overloaded()
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self._body_bytes_max:
            raise too_large(self._body_bytes_max)
        body = await read_body(
            request.stream(),
            bytes_max=self._body_bytes_max,
            timeout_seconds=self._body_timeout_seconds,
            pressure=pressure,
        )
        held = len(body)
        try:
            body = decoded_body(
                body, headers.get("content-encoding"), bytes_max=self._body_bytes_max
            )
            batch = read_batch(body) if implied_type is None else read_single(body)
            self._admit(batch, key)
            return await self._intake.accept(
                batch, path=request.url.path, implied_type=implied_type
            )
        finally:
            pressure.release(size=held)

    def _admit(self, batch: Batch, key: WriteKey | None) -> None:
        """Who sends, and whether so much may be sent; browsers put the key into the body."""
        if key is None:
            if batch.write_key is None:
                raise Refused(401, "missing_write_key", "send the write key by Basic auth")
            key = self._known(batch.write_key)
        events = len(batch.messages)
        if events > self._batch_events_max:
            raise Refused(
                413, "too_many_events", f"a batch has at most {self._batch_events_max} messages"
            )
        wait_seconds = key.charge(events)
        if wait_seconds > 0:
            raise Refused(
                429,
                "rate_limited",
                "this write key sends too fast",
                retry_after_seconds=wait_seconds,
            )

    def _known(self, presented: str) -> WriteKey:
        key = self._keys.find(presented)
        if key is None:
            raise Refused(401, "unknown_write_key", "the write key is not one of those accepted")
        return key
