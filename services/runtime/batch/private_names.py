"""Everything the batch path leans on that Faust, mode and aiokafka do not promise to keep.

One table: who uses which name of which class. The versions are pinned exactly in
pyproject.toml; `check_versions` refuses others at start, `missing` and the suite in
tests/conformance (which also watches the source of what is overridden) judge an upgrade.
"""

from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Final, NamedTuple

VERSIONS: Final = {
    "faust-streaming": "0.15.3",
    "mode-streaming": "0.7.1",
    "aiokafka": "0.14.0",
}


class Private(NamedTuple):
    """Names of one class: methods and class attributes, and what its instances carry."""

    module: str
    holder: str
    methods: tuple[str, ...]
    attributes: tuple[str, ...]
    used_for: str


NAMES: Final = (
    Private(
        "faust.transport.consumer",
        "Consumer",
        (
            "getmany", "_wait_next_records", "_drain_messages", "ack", "wait_empty",
            "_commit_offsets", "_filter_committable_offsets", "_filter_tps_with_pending_acks",
            "_new_offset", "_should_commit", "_add_gap", "perform_seek", "on_partitions_revoked",
            "stop_flow", "resume_flow",
        ),
        (
            "_buffered_partitions", "_committed_offset", "_read_offset", "_unacked_messages",
            "_waiting_for_ack", "_n_acked",
        ),
        "batches instead of messages, offsets that move when a batch is processed",
    ),
    Private(
        "faust.transport.consumer",
        "ThreadDelegateConsumer",
        ("_new_consumer_thread", "seek_wait", "highwater", "assignment"),
        ("_thread",),
        "our consumer thread instead of Faust's",
    ),
    Private(
        "faust.transport.drivers.aiokafka",
        "AIOKafkaConsumerThread",
        (
            "_create_worker_consumer", "_ensure_consumer", "_fetch_records", "_highwaters",
            "_seek_wait", "on_start", "seek_to_beginning", "call_thread", "on_partitions_assigned",
        ),
        (),
        "fetch wait, raw records, positions, end offsets",
    ),
    Private(
        "faust.tables.recovery",
        "Recovery",
        (
            "_slurp_changelogs", "_restart_recovery", "_set_recovery_ended", "need_recovery",
            "on_recovery_completed", "_seek_offsets", "_build_offsets", "_build_highwaters", "_add",
        ),
        (
            "active_tps", "standby_tps", "active_offsets", "standby_offsets",
            "standby_highwaters", "tp_to_table",
        ),
        "recovery and standbys fed with batches",
    ),
    Private(
        "faust.tables.manager", "TableManager", ("recovery", "_recovery", "changelog_queue"), (),
        "our recovery instead of Faust's",
    ),
    Private("faust.tables.base", "Collection", ("_new_store",), (), "our store"),
    Private(
        "faust.app.base", "App", ("_new_transport", "_on_partitions_revoked"),
        ("consumer_generation_id", "flow_control"), "our transport",
    ),
    Private(
        "faust.transport.drivers.aiokafka", "Transport", ("Consumer",), (), "our consumer",
    ),
    Private("faust.types.tuples", "ConsumerMessage", ("ack",), (), "batches are messages"),
    Private(
        "aiokafka.consumer.consumer", "AIOKafkaConsumer", ("seek_to_committed",),
        ("_fetcher", "_coordinator", "_subscription", "_fetch_max_wait_ms"),
        "the fetch wait; putting the shelf in; what is assigned",
    ),
    Private(
        "aiokafka.consumer.subscription_state", "SubscriptionState",
        ("subscription", "assign_from_subscribed"), (), "what is assigned",
    ),
    Private(
        "aiokafka.consumer.subscription_state", "Assignment", ("state_value",), (), "the same",
    ),
    Private(
        "aiokafka.consumer.subscription_state", "TopicPartitionState",
        ("has_valid_position", "position"), (), "where a partition is read from",
    ),
    Private(
        "aiokafka.consumer.group_coordinator", "GroupCoordinator",
        ("_do_heartbeat", "_heartbeat_routine", "reset_generation"), ("generation",),
        "hearing of answered heartbeats",
    ),
    Private(
        "aiokafka.consumer.fetcher", "Fetcher", ("fetched_records",), ("_records",),
        "the shelf takes the place of its store of results",
    ),
    Private(
        "aiokafka.consumer.fetcher", "FetchResult",
        ("getall", "check_assignment", "has_more", "_update_position"),
        ("_partition_records",), "where a result began; all of its records at once",
    ),
    Private(
        "aiokafka.consumer.fetcher", "PartitionRecords", ("_unpack_records",),
        ("next_fetch_offset", "_records", "_tp"), "records as parsed, batch by batch",
    ),
)  # fmt: skip


def check_versions() -> None:
    """Compare what is installed with what this was written against.

    Raises:
        RuntimeError: another version is installed.
    """
    for package, wanted in VERSIONS.items():
        found = metadata.version(package)
        if found != wanted:
            raise RuntimeError(
                f"{package} {found} is installed; the batch path leans on {wanted} "
                "(services/runtime/batch/private_names.py)"
            )


def missing() -> Iterator[str]:
    """Names of methods and class attributes that are not there."""
    for entry in NAMES:
        holder = getattr(import_module(entry.module), entry.holder, None)
        if holder is None:
            yield f"{entry.module}.{entry.holder}"
            continue
        for name in entry.methods:
            if not hasattr(holder, name):
                yield f"{entry.module}.{entry.holder}.{name}"
