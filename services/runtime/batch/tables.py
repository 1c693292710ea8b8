"""States as a Faust table: recovered in batches, followed by standbys, kept over rebalances."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import faust
from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

from services.runtime.batch.states import EMPTY

CHANGELOG_WAIT_SECONDS: Final = 1.0

Recovered = Callable[[frozenset[int]], None]
"""Called with the numbers of the active partitions once their states are complete."""


class BatchStore(Store):
    """Faust's view of `States`; the app reads and writes the states themselves."""

    @property
    def states(self) -> Any:
        """The states of every partition held."""
        return self.app.states

    def persisted_offset(self, tp: TP) -> int | None:
        """What is held in memory counts: a rebalance then reads only what came after it."""
        position: int | None = self.states.position(tp.partition)
        return position

    def reset_state(self) -> None:
        """Nothing stands outside of memory."""

    async def backup_partition(
        self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1
    ) -> None:
        """The changelog is the backup."""

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:
        """The changelog is the backup."""

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        """Apply batches of records, in order."""
        for event in batch:
            self.states[event.message.partition].apply(event.message.value)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget what has gone to other workers."""
        for tp in revoked:
            if tp.topic == self.table.changelog_topic_name:
                self.states.drop(tp.partition)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Keep exactly what is assigned and tell the app."""
        active = frozenset(tp.partition for tp in active_tps)
        self.states.settle(active=active, standby=frozenset(tp.partition for tp in standby_tps))
        self.app.on_recovered(active)

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[str]:
        for partition in self.states.held():
            yield from self.states[partition].stored

    def __getitem__(self, key: str) -> bytes:
        raise KeyError(key)  # a key alone does not say its partition


class BatchTable(faust.Table):
    """A table whose store is `BatchStore`."""

    def _new_store(self) -> BatchStore:
        return BatchStore("memory://", self.app, self, table_name=self.name, loop=self.loop)


class BatchRecovery(Recovery):
    """Faust's recovery, fed with batches.

    Stock recovery can lose changelog records that are queued while the flow is stopped or
    resumed (its queue is emptied then), and a standby never notices. Here each batch says
    where it began; one that does not follow what is held is read again from there.
    """

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Stop the flow before the final seek: records read before it would come twice.

        Raises:
            Unopened: a state is sealed with a key that is not listed, or was changed.
        """
        self.app.consumer.stop_flow()
        self.app.flow_control.suspend()
        for tp in self.active_tps:
            self.app.sealing.refuse(tp.topic, self.app.states[tp.partition].stored.values())
        await super().on_recovery_completed(generation_id)

    @Service.task
    async def _slurp_changelogs(self) -> None:
        queue = self.tables.changelog_queue
        while not self.should_stop:
            self.signal_recovery_end.clear()
            try:
                event = await asyncio.wait_for(queue.get(), CHANGELOG_WAIT_SECONDS)
            except TimeoutError:
                pass
            else:
                await self._take(event)
            if self.in_recovery and not self.need_recovery():
                self._set_recovery_ended()
                self.signal_recovery_end.set()
            if not self.tables.standbys_ready and self._standbys_complete():
                self.tables.on_standbys_ready()

    async def _take(self, event: Any) -> None:
        message = event.message
        tp = message.tp
        if tp in self.active_tps:
            offsets = self.active_offsets
        elif tp in self.standby_tps:
            offsets = self.standby_offsets
        else:
            return  # revoked meanwhile
        held = offsets.get(tp)
        held = EMPTY if held is None else held
        if message.generation_id != self.app.consumer_generation_id:
            return
        if message.start > held + 1:
            await self.app.consumer.seek_wait({tp: max(held, 0)})
            return
        if message.offset > held:
            message.value = [row for row in message.value if row.offset > held]
            self.tp_to_table[tp].apply_changelog_batch([event])
            offsets[tp] = message.offset

    def _standbys_complete(self) -> bool:
        return all(
            (self.standby_offsets.get(tp) or 0) >= self.standby_highwaters.get(tp, 0)
            for tp in self.standby_tps
        )


class BatchTableManager(TableManager):
    """Faust's table manager with the batch recovery."""

    _recovery: BatchRecovery | None

    @property
    def recovery(self) -> BatchRecovery:
        """The one recovery service of the app."""
        if self._recovery is None:
            self._recovery = BatchRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
