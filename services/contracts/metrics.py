"""Every metric of the project, listed once: name, kind, labels, unit and meaning.

docs/metrics.md is generated from this list; `services.runtime.metrics` builds the
Prometheus objects; the alert rules in deploy/ are tested against these names.
"""

from typing import Final, Literal

import msgspec

LATENCY_BUCKETS_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
)  # fmt: skip


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `unit` is the base unit of its value; counters end in `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    service: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = LATENCY_BUCKETS_SECONDS


INGEST_EVENTS: Final = Metric(
    name="cuestream_ingest_events_total",
    kind="counter",
    unit="events",
    service="ingest",
    labels=("outcome",),
    meaning="Events received over HTTP: accepted, or the code they were refused with.",
)
INGEST_REQUESTS: Final = Metric(
    name="cuestream_ingest_requests_total",
    kind="counter",
    unit="requests",
    service="ingest",
    labels=("status",),
    meaning="HTTP requests by status code.",
)
INGEST_SECONDS: Final = Metric(
    name="cuestream_ingest_request_seconds",
    kind="histogram",
    unit="seconds",
    service="ingest",
    meaning="From request read to Kafka's acknowledgement and the answer.",
)
INGEST_PENDING: Final = Metric(
    name="cuestream_ingest_pending_events",
    kind="gauge",
    unit="events",
    service="ingest",
    meaning="Events accepted from clients and not yet acknowledged by Kafka.",
)
EVENTS: Final = Metric(
    name="cuestream_events_total",
    kind="counter",
    unit="events",
    service="triggers",
    labels=("outcome",),
    meaning=(
        "Events folded: applied, duplicate, late, clamped, alias, forwarded (to whom the person"
        " was merged into), replayed, or dead_letter."
    ),
)
HOPS: Final = Metric(
    name="cuestream_merge_hops_total",
    kind="counter",
    unit="records",
    service="triggers",
    labels=("kind",),
    meaning="Records written to other people's logs for merges: ask, answer or forward.",
)
PEOPLE_MERGED: Final = Metric(
    name="cuestream_people_merged_total",
    kind="counter",
    unit="people",
    service="triggers",
    meaning="People handed over to another whom they turned out to be.",
)
VALUES_SKIPPED: Final = Metric(
    name="cuestream_values_skipped_total",
    kind="counter",
    unit="values",
    service="triggers",
    labels=("kind",),
    meaning="Values of events that fit no profile, by kind: tag_value or trait. They are left out.",
)
DECISIONS: Final = Metric(
    name="cuestream_decisions_total",
    kind="counter",
    unit="decisions",
    service="triggers",
    labels=("outcome",),
    meaning="Decisions by outcome: sent, or the first refusal.",
)
CAP_SUPPRESSIONS: Final = Metric(
    name="cuestream_cap_suppressions_total",
    kind="counter",
    unit="decisions",
    service="triggers",
    labels=("policy",),
    meaning="Candidates refused or put off by a frequency cap.",
)
DECISION_SECONDS: Final = Metric(
    name="cuestream_decision_seconds",
    kind="histogram",
    unit="seconds",
    service="triggers",
    meaning="From a batch being read to its outputs acknowledged and its state durable.",
)
INGEST_TO_COMMAND_SECONDS: Final = Metric(
    name="cuestream_ingest_to_command_seconds",
    kind="histogram",
    unit="seconds",
    service="triggers",
    meaning="From ingest's stamp of an event to the acknowledgement of its send command.",
)
CONSUMER_LAG: Final = Metric(
    name="cuestream_consumer_lag_records",
    kind="gauge",
    unit="records",
    service="all consumers",
    labels=("topic", "partition"),
    meaning="Records between the last processed one and the end of the partition.",
)
TIMERS: Final = Metric(
    name="cuestream_timer_backlog",
    kind="gauge",
    unit="timers",
    service="triggers",
    labels=("state",),
    meaning="Timers waiting: pending, or overdue (due and not yet fired).",
)
STATE_PERSONS: Final = Metric(
    name="cuestream_state_persons",
    kind="gauge",
    unit="people",
    service="triggers",
    labels=("partition",),
    meaning="People whose state this worker holds.",
)
DEFINITIONS_REVISION: Final = Metric(
    name="cuestream_definitions_revision",
    kind="gauge",
    unit="revision",
    service="triggers",
    labels=("partition",),
    meaning="Revision of the definitions in force.",
)
OUTBOX_PENDING: Final = Metric(
    name="cuestream_outbox_pending",
    kind="gauge",
    unit="revisions",
    service="triggers-api",
    meaning="Published revisions that have not reached Kafka yet.",
)
BACKTESTS: Final = Metric(
    name="cuestream_backtests_total",
    kind="counter",
    unit="jobs",
    service="triggers-api",
    labels=("outcome",),
    meaning="Backtests that this process ran: done or failed.",
)
ROLLOUT_STEPS: Final = Metric(
    name="cuestream_rollout_steps_total",
    kind="counter",
    unit="steps",
    service="triggers-api",
    labels=("outcome",),
    meaning="Steps of rollouts: advanced, done, halted (and the trigger paused), or ended.",
)
PROFILE_UPSERTS: Final = Metric(
    name="cuestream_profile_upserts_total",
    kind="counter",
    unit="profiles",
    service="profile-store",
    labels=("outcome",),
    meaning="Profile snapshots: written, stale (a newer one stood there), erased or dead_letter.",
)
DECISION_LOG: Final = Metric(
    name="cuestream_decision_log_total",
    kind="counter",
    unit="decisions",
    service="profile-store",
    labels=("outcome",),
    meaning="Decisions read into the log: written, repeated (known already) or dead_letter.",
)
DECISION_LOG_SECONDS: Final = Metric(
    name="cuestream_decision_log_seconds",
    kind="histogram",
    unit="seconds",
    service="profile-store",
    meaning="From a decision's time to its row in the log, of each batch the longest.",
)
FINDINGS: Final = Metric(
    name="cuestream_data_quality_findings_total",
    kind="counter",
    unit="findings",
    service="profile-store",
    labels=("outcome",),
    meaning="What cleaning found, as read into the report: counted, or repeated after a crash.",
)
LEDGER: Final = Metric(
    name="cuestream_dispatcher_ledger_sends",
    kind="gauge",
    unit="sends",
    service="dispatcher",
    labels=("state",),
    meaning="Entries of the send ledger by state, up to a minute old where a million is open; "
    "unreported: outcomes Kafka has yet to take.",
)
ATTEMPTS: Final = Metric(
    name="cuestream_dispatcher_attempts_total",
    kind="counter",
    unit="attempts",
    service="dispatcher",
    labels=("channel", "outcome"),
    meaning="Delivery attempts: accepted, transient, permanent or unknown.",
)
RETRIES: Final = Metric(
    name="cuestream_retries_total",
    kind="counter",
    unit="retries",
    service="all",
    labels=("operation",),
    meaning="Operations tried again after a transient failure.",
)
SEND_SECONDS: Final = Metric(
    name="cuestream_dispatcher_send_seconds",
    kind="histogram",
    unit="seconds",
    service="dispatcher",
    labels=("channel",),
    meaning="From a command being read to the provider's acceptance.",
)
CIRCUIT_OPEN: Final = Metric(
    name="cuestream_dispatcher_circuit_open",
    kind="gauge",
    unit="circuits",
    service="dispatcher",
    labels=("provider",),
    meaning="1 while a provider is left alone because attempts on it only failed, else 0.",
)
RATE_LIMITED: Final = Metric(
    name="cuestream_dispatcher_rate_limited_total",
    kind="counter",
    unit="waits",
    service="dispatcher",
    labels=("provider",),
    meaning="How often sends that were due had to wait for the provider's rate limit.",
)
QUARANTINED: Final = Metric(
    name="cuestream_dispatcher_quarantined_total",
    kind="counter",
    unit="addresses",
    service="dispatcher",
    labels=("channel",),
    meaning="Addresses kept out because a provider refused them again and again.",
)
ENDED_UNSENT: Final = Metric(
    name="cuestream_dispatcher_ended_unsent_total",
    kind="counter",
    unit="sends",
    service="dispatcher",
    labels=("reason",),
    meaning="Sends that ended without an attempt: cancelled, expired or quarantined.",
)
STOPPED: Final = Metric(
    name="cuestream_dispatcher_stopped",
    kind="gauge",
    unit="stops",
    service="dispatcher",
    meaning="Kill switches that are on: everything, and each channel stopped by name.",
)
DEAD_LETTERS: Final = Metric(
    name="cuestream_dead_letters_total",
    kind="counter",
    unit="records",
    service="all",
    labels=("origin", "code"),
    meaning="Records given up, kept whole on the dead-letter topic with this reason.",
)

RECEIPTS: Final = Metric(
    name="cuestream_dispatcher_receipts_total",
    kind="counter",
    unit="receipts",
    service="dispatcher",
    labels=("kind", "channel"),
    meaning="What came back of sends: delivered, bounced, opened, clicked, unsubscribed and so on.",
)

JOBS_DONE: Final = Metric(
    name="cuestream_jobs_total",
    kind="counter",
    unit="runs",
    service="profile-store",
    labels=("task", "outcome"),
    meaning="Scheduled jobs: done, refused (nothing found was good enough to publish), failed, or"
    " left to another instance.",
)

BOUNCES: Final = Metric(
    name="cuestream_dispatcher_bounces_total",
    kind="counter",
    unit="notices",
    service="dispatcher",
    labels=("kind",),
    meaning="Notices of mails that came back: hard, soft, unknown where it was none of ours.",
)

METRICS: Final = (
    RECEIPTS, BOUNCES,
    INGEST_EVENTS, INGEST_REQUESTS, INGEST_SECONDS, INGEST_PENDING, EVENTS, HOPS,
    PEOPLE_MERGED, VALUES_SKIPPED,
    DECISIONS,
    CAP_SUPPRESSIONS, DECISION_SECONDS, INGEST_TO_COMMAND_SECONDS, CONSUMER_LAG, TIMERS,
    STATE_PERSONS, DEFINITIONS_REVISION, OUTBOX_PENDING, PROFILE_UPSERTS, LEDGER, ATTEMPTS,
    RETRIES, SEND_SECONDS, DEAD_LETTERS, CIRCUIT_OPEN, RATE_LIMITED, QUARANTINED, ENDED_UNSENT,
    STOPPED, DECISION_LOG, DECISION_LOG_SECONDS, BACKTESTS, ROLLOUT_STEPS, FINDINGS,
    JOBS_DONE,
)  # fmt: skip
