"""An upgrade of Faust, mode or aiokafka that touches what the batch path leans on fails here.

A fingerprint that changed is no bug by itself: read what changed in that method, see whether
services/runtime/batch still does what it says, run the embedded and the kill tests, and only
then write the new fingerprint and version down.
"""

import inspect
import sys
from importlib import import_module, metadata

import pytest

from services.runtime.batch import private_names
from services.runtime.batch.consumer import BatchConsumer
from services.runtime.batch.fetch import BatchConsumerThread
from services.runtime.batch.private_names import NAMES, VERSIONS, check_versions, missing
from services.runtime.batch.tables import BatchRecovery, BatchTableManager
from tests.conformance.sources import fingerprint

SOURCES: dict[str, str] = {
    "faust.transport.consumer:Consumer.getmany": "aea1eb867ae39117",
    "faust.transport.consumer:Consumer._wait_next_records": "726b3304452ac79a",
    "faust.transport.consumer:Consumer._drain_messages": "7eccc7d5ef6f7121",
    "faust.transport.consumer:Consumer.wait_empty": "302c0b922a95b9cc",
    "faust.transport.consumer:Consumer.force_commit": "36c2774a96bdf2f7",
    "faust.transport.consumer:Consumer._commit_tps": "ce2b3cf1b8430947",
    "faust.transport.consumer:Consumer._commit_offsets": "2f08de88b80955a0",
    "faust.transport.consumer:Consumer._filter_committable_offsets": "1b951909a8b6d08a",
    "faust.transport.consumer:Consumer._filter_tps_with_pending_acks": "6ddd9f263e77063f",
    "faust.transport.consumer:Consumer._new_offset": "3839c8b7f69a1db1",
    "faust.transport.consumer:Consumer._should_commit": "68f10aa411d380c4",
    "faust.transport.consumer:Consumer._add_gap": "aa4274909fc82758",
    "faust.transport.consumer:Consumer.perform_seek": "7807984b184694e1",
    "faust.transport.consumer:Consumer.on_partitions_revoked": "c6c9db13eece712f",
    "faust.transport.consumer:Consumer.on_partitions_assigned": "510733de689cb0bd",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "ca90e1fd1a53a76b",  # noqa: E501
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.on_start": "4d876c72c82fa058",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._fetch_records": "17ec6a7aea72c926",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._highwaters": "e74ee7af661729bc",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._seek_wait": "5a9208e255eeaf30",
    "faust.transport.drivers.aiokafka:ConsumerRebalanceListener.on_partitions_revoked": "425255135efb94e2",  # noqa: E501
    "faust.transport.drivers.aiokafka:ConsumerRebalanceListener.on_partitions_assigned": "406475070fcd732a",  # noqa: E501
    "faust.tables.recovery:Recovery.on_rebalance": "ab1176738a4c18cc",
    "faust.tables.recovery:Recovery._restart_recovery": "c3a228e6189088fb",
    "faust.tables.recovery:Recovery._slurp_changelogs": "466168e6e136e462",
    "faust.tables.recovery:Recovery.on_recovery_completed": "e9431a356a43b8de",
    "faust.tables.recovery:Recovery._build_highwaters": "0fe7471f19d165aa",
    "faust.tables.recovery:Recovery._build_offsets": "99ba7ed4f6e3b138",
    "faust.tables.recovery:Recovery._seek_offsets": "c867a2376639da71",
    "faust.tables.recovery:Recovery._add": "addce37ecead8a1b",
    "faust.tables.recovery:Recovery.revoke": "b49d34ae0f6a2327",
    "faust.tables.recovery:Recovery.need_recovery": "d2c15351b1934d29",
    "faust.tables.recovery:Recovery.active_remaining": "1dce1d7a19530ed8",
    "faust.tables.manager:TableManager.recovery": "8246b0c2f976d9c6",
    "faust.tables.manager:TableManager.changelog_queue": "3dd8b0f959115ce2",
    "faust.tables.manager:TableManager._update_channels": "96eda6e8349e4016",
    "faust.tables.manager:TableManager.on_rebalance": "4d0adb4b6b4e6193",
    "faust.app.base:App._on_partitions_revoked": "8e794525b13d09ab",
    "faust.app.base:App._on_partitions_assigned": "ac80a536ea886b52",
    "faust.app.base:App._update_assignment": "35b1cb2878570d2e",
    "faust.app.base:App._stop_consumer": "fa596603a42fde9b",
    "faust.types.tuples:Message.ack": "a0bac3bf4a511974",
    "aiokafka.consumer.consumer:AIOKafkaConsumer.seek_to_committed": "bd1a9ed580222c4a",
    "aiokafka.consumer.consumer:AIOKafkaConsumer.start": "492f6b6b15d61f64",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "d066788fd8476aa1",
    "aiokafka.consumer.fetcher:Fetcher.seek_to": "551a18db5af79a56",
    "aiokafka.consumer.fetcher:FetchResult.getall": "3bf6ca5abbc41908",
    "aiokafka.consumer.fetcher:FetchResult.check_assignment": "169b0b7bab473e41",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "706293348a0b87e5",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._do_heartbeat": "e42a542f5d1dd6f4",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._heartbeat_routine": "3a1f711fde3188d6",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.reset_generation": "0eb66442ea606e1d",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._on_join_complete": "412dbbd29ab51f66",
    "aiokafka.consumer.subscription_state:SubscriptionState.assign_from_subscribed": "c39878f6a36e269a",  # noqa: E501
    "aiokafka.consumer.subscription_state:Assignment.state_value": "395c768683e21a98",
    "aiokafka.consumer.subscription_state:TopicPartitionState.seek": "6d015fd5e0e30700",
    "aiokafka.consumer.subscription_state:TopicPartitionState.consumed_to": "669cd4bf8afb1375",
    "aiokafka.producer.producer:AIOKafkaProducer.send_batch": "1dff8476e7a57243",
    "aiokafka.producer.message_accumulator:MessageAccumulator.add_batch": "08aa3ec921bd2f2b",
    "aiokafka.producer.message_accumulator:MessageAccumulator.drain_by_nodes": "686f1d63065d21e7",
}


def test_the_installed_versions_are_the_pinned_ones() -> None:
    check_versions()
    requirements = metadata.requires("cuestream") or []
    for package, version in VERSIONS.items():
        assert f"{package}=={version}" in requirements


def test_another_version_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(private_names.VERSIONS, "aiokafka", "0.13.0")
    with pytest.raises(RuntimeError, match=r"aiokafka .* leans on 0\.13\.0"):
        check_versions()


def test_every_private_name_is_there() -> None:
    assert list(missing()) == []


def test_instances_carry_the_attributes_listed() -> None:
    absent = []
    for entry in NAMES:
        holder = getattr(import_module(entry.module), entry.holder)
        text = "".join(inspect.getsource(cls) for cls in holder.__mro__[:-1] if _ours_to_read(cls))
        absent += [
            f"{entry.holder}.{name}"
            for name in entry.attributes
            if f"self.{name} =" not in text
            and f"self.{name}:" not in text
            and not hasattr(holder, name)
        ]
    assert absent == []


def _ours_to_read(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in {"faust", "aiokafka"}


@pytest.mark.parametrize("cls", [BatchConsumer, BatchConsumerThread, BatchRecovery])
def test_every_private_override_is_listed(cls: type) -> None:
    listed = {name for entry in NAMES for name in entry.methods}
    inherited = {name for base in cls.__mro__[1:] for name in vars(base)}
    overridden = {
        name
        for name in vars(cls)
        if name.startswith("_") and not name.startswith("__") and name in inherited
    }
    assert overridden - {"_abc_impl", "_tasks"} <= listed


def test_overrides_take_the_arguments_of_what_they_replace() -> None:
    for cls in (BatchConsumer, BatchConsumerThread, BatchRecovery, BatchTableManager):
        for name, method in vars(cls).items():
            stock = getattr(cls.__mro__[1], name, None)
            if name.startswith("__") or not inspect.isfunction(method) or stock is None:
                continue
            ours, theirs = inspect.signature(method), inspect.signature(stock)
            if any(p.kind is p.VAR_POSITIONAL for p in ours.parameters.values()):
                continue
            assert list(ours.parameters) == list(theirs.parameters), f"{cls.__name__}.{name}"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="syntax trees differ by version")
@pytest.mark.parametrize("path", SOURCES)
def test_what_the_batch_path_leans_on_is_unchanged(path: str) -> None:
    assert fingerprint(path) == SOURCES[path], f"{path} changed: read it (see this file's head)"
