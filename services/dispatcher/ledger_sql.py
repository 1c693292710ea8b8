"""The statements of the ledger. Each is one transaction over many sends."""

from typing import Final

from sqlalchemy import text

# With this in what it gives back, the transaction of a statement does not wait for the disk: for
# what may be forgotten by a crash of the server (not of ours) within its last second.
_QUICKLY: Final = "set_config('synchronous_commit', 'off', true)"

# Those of one batch wait in their order, each since an instant of its own: where one left off,
# a claim can go on.
RECORD: Final = text("""
INSERT INTO dispatcher.sends (
    send_id, person, trigger, channel, queue, rank, command, source_partition, source_offset,
    decided_at, run_id, expires_at, provider, address, holder, state, attempts, read_at,
    next_attempt_at, lease_until)
SELECT g.send_id, g.person, g.trigger, g.channel, g.queue, g.rank, g.command,
    g.source_partition, g.source_offset, g.decided_at, g.run_id, g.expires_at, g.provider,
    g.address, :holder,
    CASE WHEN g.provider IS NULL THEN 'pending' ELSE 'sending' END,
    CASE WHEN g.provider IS NULL THEN 0 ELSE 1 END,
    dispatcher.now_micros(),
    dispatcher.now_micros() - cardinality(CAST(:send_id AS uuid[])) + g.place,
    CASE WHEN g.provider IS NULL THEN 0 ELSE dispatcher.now_micros() + :lease END
FROM unnest(
    CAST(:send_id AS uuid[]), CAST(:person AS text[]), CAST(:trigger AS text[]),
    CAST(:channel AS text[]), CAST(:queue AS text[]), CAST(:rank AS smallint[]),
    CAST(:command AS bytea[]), CAST(:source_partition AS integer[]),
    CAST(:source_offset AS bigint[]), CAST(:decided_at AS bigint[]),
    CAST(:run_id AS uuid[]), CAST(:expires_at AS bigint[]), CAST(:provider AS text[]),
    CAST(:address AS bytea[])
) WITH ORDINALITY AS g(send_id, person, trigger, channel, queue, rank, command,
    source_partition, source_offset, decided_at, run_id, expires_at, provider, address, place)
ON CONFLICT (send_id) DO NOTHING
RETURNING CAST(send_id AS text), read_at,
    provider IS NOT NULL AND EXISTS (
        SELECT FROM dispatcher.cancels c WHERE c.id = send_id OR c.id = run_id) AS cancelled
""")

# A command read again means its answer may be missing from the log (a topic made anew, say),
# so it is told again. `lease_until` 0 hands the row to whoever looks for unreported ones.
REPORT_AGAIN: Final = text("""
UPDATE dispatcher.sends SET reported_at = NULL, lease_until = 0
WHERE send_id = ANY(CAST(:send_id AS uuid[]))
  AND reported_at IS NOT NULL AND state IN ('accepted', 'delivered', 'bounced', 'failed')
""")

_CLAIMED: Final = """
RETURNING CAST(s.send_id AS text), s.queue, s.provider, s.attempts, s.attempts_before,
    s.doubtful, s.command, s.source_partition, s.source_offset, s.read_at, s.rank,
    s.next_attempt_at,
    EXISTS (SELECT FROM dispatcher.cancels c WHERE c.id = s.send_id OR c.id = s.run_id)
        AS cancelled
"""

# What is in doubt stays with its provider; what is not goes to any that may stand in. `since`:
# the index keeps what is not due any more until it is vacuumed, and longer while anybody reads an
# old snapshot; a claim that begins where the last one ended does not go through all of that.
_DUE: Final = """
    FROM (VALUES (0::smallint), (1::smallint), (2::smallint)) AS ranks(rank)
    CROSS JOIN LATERAL (
        SELECT s.send_id FROM dispatcher.sends s
        WHERE s.state = 'pending' AND s.queue = :queue AND s.rank = ranks.rank
          AND s.next_attempt_at <= dispatcher.now_micros()
          AND s.next_attempt_at >= CASE WHEN ranks.rank = 2 THEN CAST(:since AS bigint) ELSE 0 END
          AND CASE WHEN s.doubtful AND s.provider IS NOT NULL
                   THEN s.provider = :provider ELSE CAST(:any AS boolean) END
        ORDER BY s.next_attempt_at
        LIMIT CASE WHEN ranks.rank = 2 THEN CAST(:bulk AS integer) ELSE CAST(:limit AS integer) END
"""

_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT waiting.send_id
    {_DUE}
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT :limit
)
UPDATE dispatcher.sends s
SET state = 'sending', attempts = s.attempts + 1, provider = :provider,
    holder = :holder, lease_until = dispatcher.now_micros() + :lease
FROM due WHERE s.send_id = due.send_id
{_CLAIMED}"""  # noqa: S608  (made of constants)
CLAIM: Final = text(_CLAIM)
CLAIM_QUICKLY: Final = text(f"{_CLAIM}, {_QUICKLY}")

# Of a claim that cannot be attempted, and was not: as it was before.
UNCLAIM: Final = text("""
UPDATE dispatcher.sends s
SET state = 'pending', attempts = s.attempts - 1, lease_until = 0,
    provider = CASE WHEN s.doubtful THEN s.provider END
FROM unnest(CAST(:send_id AS uuid[]), CAST(:attempts AS integer[])) AS g(send_id, attempts)
WHERE s.send_id = g.send_id AND s.attempts = g.attempts
  AND s.state = 'sending' AND s.holder = :holder
RETURNING CAST(s.send_id AS text)
""")

DUE: Final = text(f"""
SELECT count(*) FROM (
    SELECT waiting.send_id
    {_DUE}
    ) AS waiting
    LIMIT :limit) AS due
""")  # noqa: S608  (made of constants)

# Whose holder did not come back in time. They stay `sending` under a new lease until the
# policy has spoken; the number of attempts does not change, so a holder that was merely slow
# may still report an acceptance.
INTERRUPTED: Final = text(f"""
UPDATE dispatcher.sends s
SET lease_until = dispatcher.now_micros() + :lease
FROM (
    SELECT send_id FROM dispatcher.sends
    WHERE state = 'sending' AND lease_until < dispatcher.now_micros()
    ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
) AS lost
WHERE s.send_id = lost.send_id
{_CLAIMED}""")  # noqa: S608  (made of constants)

# A commit whose acknowledgement was lost: claimed by us, and we do not know it.
MINE: Final = text(f"""
UPDATE dispatcher.sends s SET lease_until = dispatcher.now_micros() + :lease
WHERE s.state = 'sending' AND s.queue = :queue AND s.holder = :holder
  AND s.send_id <> ALL(CAST(:held AS uuid[]))
{_CLAIMED}""")  # noqa: S608  (made of constants)

# An acceptance is the truth whenever it arrives; every other result counts only while the
# claim is still held, or was settled the same by ourselves and the acknowledgement was lost.
# What is told already forgets its command at once.
_SETTLE: Final = """
UPDATE dispatcher.sends s
SET state = g.state, doubtful = g.doubtful, reason = g.reason, provider_id = g.provider_id,
    provider = CASE WHEN g.state = 'pending' AND NOT g.bound THEN NULL ELSE s.provider END,
    finished_at = g.finished_at,
    reported_at = CASE WHEN :told THEN dispatcher.now_micros() END,
    command = CASE WHEN :told THEN NULL ELSE s.command END,
    next_attempt_at = dispatcher.now_micros() + g.wait,
    lease_until = dispatcher.now_micros() + :lease
FROM unnest(
    CAST(:send_id AS uuid[]), CAST(:attempts AS integer[]), CAST(:state AS text[]),
    CAST(:doubtful AS boolean[]), CAST(:bound AS boolean[]), CAST(:reason AS text[]),
    CAST(:provider_id AS text[]), CAST(:finished_at AS bigint[]), CAST(:wait AS bigint[])
) AS g(send_id, attempts, state, doubtful, bound, reason, provider_id, finished_at, wait)
WHERE s.send_id = g.send_id AND s.attempts = g.attempts
  AND (s.state = 'sending' OR (g.state = 'accepted' AND s.state IN ('pending', 'ambiguous'))
       OR (s.state = g.state AND s.holder = :holder AND s.reported_at IS NULL))
RETURNING CAST(s.send_id AS text)"""
SETTLE: Final = text(_SETTLE)
SETTLE_QUICKLY: Final = text(f"{_SETTLE}, {_QUICKLY}")

_FINISHED: Final = """
RETURNING CAST(s.send_id AS text), s.person, s.trigger, s.channel, s.state, s.attempts,
    s.reason, s.finished_at, s.command, s.source_partition, s.source_offset
"""

UNREPORTED: Final = text(f"""
UPDATE dispatcher.sends s
SET lease_until = dispatcher.now_micros() + :lease
FROM (
    SELECT send_id FROM dispatcher.sends
    WHERE reported_at IS NULL AND state NOT IN ('pending', 'sending')
      AND lease_until < dispatcher.now_micros()
    ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
) AS untold
WHERE s.send_id = untold.send_id
{_FINISHED}""")  # noqa: S608  (made of constants)

REPORTED: Final = text(f"""
UPDATE dispatcher.sends s SET reported_at = dispatcher.now_micros(), command = NULL
FROM unnest(CAST(:send_id AS uuid[]), CAST(:state AS text[])) AS g(send_id, state)
WHERE s.send_id = g.send_id AND s.state = g.state
RETURNING {_QUICKLY}
""")  # noqa: S608  (made of constants)

ADOPT: Final = text("""
UPDATE dispatcher.sends SET queue = :nobody, next_attempt_at = dispatcher.now_micros()
WHERE state = 'pending' AND queue <> ALL(CAST(:served AS text[]))
""")

_ENDED: Final = """
SET state = CASE WHEN s.doubtful THEN 'ambiguous' ELSE 'failed' END,
    reported_at = NULL, finished_at = coalesce(CAST(:at AS bigint), s.decided_at)
"""

# `lease_until` 0: whoever looks next tells it. What is under way is told of at its next claim.
CANCEL_SENDS: Final = text(f"""
UPDATE dispatcher.sends s
{_ENDED}, reason = 'cancelled', lease_until = 0
WHERE s.state = 'pending'
  AND (s.send_id = ANY(CAST(:ids AS uuid[]))
       OR (s.person = ANY(CAST(:persons AS text[])) AND s.run_id = ANY(CAST(:ids AS uuid[]))))
RETURNING CAST(s.send_id AS text)
""")

CANCEL: Final = text("""
INSERT INTO dispatcher.cancels (id, reason, at)
SELECT DISTINCT ON (g.id) g.id, g.reason, dispatcher.now_micros()
FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS g(id, reason)
ORDER BY g.id
ON CONFLICT (id) DO NOTHING
""")

EXPIRE: Final = text(f"""
UPDATE dispatcher.sends s
{_ENDED}, reason = 'expired', lease_until = dispatcher.now_micros() + :lease
FROM (
    SELECT send_id FROM dispatcher.sends
    WHERE state = 'pending' AND expires_at <= dispatcher.now_micros()
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
) AS late
WHERE s.send_id = late.send_id
{_FINISHED}""")  # noqa: S608  (made of constants)

# Proof that a provider took it, also where nobody knew: then the log hears of the acceptance.
RECEIPT: Final = text("""
UPDATE dispatcher.sends s
SET state = :state, reason = coalesce(:reason, s.reason),
    finished_at = coalesce(s.finished_at, CAST(:at AS bigint), s.decided_at),
    reported_at = CASE WHEN s.state IN ('accepted', 'delivered') THEN s.reported_at END,
    lease_until = CASE WHEN s.state IN ('accepted', 'delivered') THEN s.lease_until ELSE 0 END
WHERE s.send_id = :send_id
  AND (s.state IN ('accepted', 'ambiguous', 'sending')
       OR (s.state = 'pending' AND s.doubtful)
       OR (s.state = 'delivered' AND :state = 'bounced'))
RETURNING CAST(s.send_id AS text)
""")

BY_PROVIDER_ID: Final = text("""
SELECT CAST(send_id AS text), person, trigger, channel FROM dispatcher.sends
WHERE provider_id = :provider_id AND queue = ANY(CAST(:queues AS text[])) LIMIT 1
""")

ADDRESS: Final = text("SELECT address FROM dispatcher.sends WHERE send_id = :send_id")

# Only what was given up; attempts begin to count anew, and the fence goes on.
REPLAY: Final = text("""
UPDATE dispatcher.sends s
SET state = 'pending', command = g.command, expires_at = g.expires_at, reason = NULL,
    attempts_before = s.attempts, finished_at = NULL, reported_at = NULL, provider = NULL,
    queue = g.queue, next_attempt_at = dispatcher.now_micros()
FROM unnest(CAST(:send_id AS uuid[]), CAST(:command AS bytea[]), CAST(:expires_at AS bigint[]),
            CAST(:queue AS text[]))
    AS g(send_id, command, expires_at, queue)
WHERE s.send_id = g.send_id AND s.state IN ('failed', 'ambiguous')
  AND s.reported_at IS NOT NULL
RETURNING CAST(s.send_id AS text)
""")

PRUNE_CANCELS: Final = text("""
DELETE FROM dispatcher.cancels WHERE id IN (
    SELECT id FROM dispatcher.cancels WHERE at < dispatcher.now_micros() - :age LIMIT :limit)
""")
