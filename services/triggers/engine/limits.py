"""Every bound of a person's state and of a workspace's definitions, by name.

Together they keep the largest state below `RECORD_BYTES_MAX`: tags 400 kB, sends put off
200 kB, sends 132 kB, entries 75 kB, slots 50 kB, message ids 49 kB, ids of people taken in 26 kB
(in ASCII), what is under way 20 kB, the rest 30 kB.
"""

from typing import Final

from services.contracts.time import DAY, HOUR, SECOND, Micros
from services.contracts.topics import RECORD_BYTES_MAX

NEVER: Final[Micros] = 1 << 62
"""Later than any instant: what has no end ends here."""
INSTANT_MAX: Final[Micros] = 4_102_444_800 * SECOND
"""2100-01-01. A record stamped later would stop its person's clock there: it is refused."""
SNAPSHOT_EVERY: Final = SECOND

NUMBER_ABS_MAX: Final = 1e15
"""Larger numbers never enter a tag: doubles hold integers exactly to 9e15."""
SUM_DIGITS: Final = 6
"""Sums and averages are given to six decimals: 0.1 + 0.2 reads as 0.3."""
TEXT_BYTES_MAX: Final = 200
"""Longer texts (UTF-8) never become the value of a tag; `distinct` takes any length."""
UTF8_BYTES_A_CHAR_MAX: Final = 4

DISTINCT_EXACT_MAX: Final = 64
TOP_VALUES_MAX: Final = 64
BUCKETS_MAX: Final = 1_100
"""Buckets of one window: three years of days, 18 hours of minutes."""
TAGS_BYTES_MAX: Final = 400_000
"""What all tags of a workspace may take in the state of a person who has filled them."""

TRAITS_MAX: Final = 100
TRAIT_NAME_CHARS_MAX: Final = 100
TRAIT_BYTES_MAX: Final = 1_024
TRAITS_BYTES_MAX: Final = 16 * 1_024
ALIASES_MAX: Final = 16
PROOFS_MAX: Final = 20
"""Answers of a person to questions of consent whose proof is kept."""
PROOF_TEXT_CHARS_MAX: Final = 200
MERGED_MAX: Final = 64
"""Others who answered a person or handed on to them; the one longest silent is forgotten."""
ASKING_MAX: Final = 8
"""Others whom a person asks for at a time; those of people taken in come on top."""
ASKED_MAX: Final = 64
"""All of these, and answers to what was asked by people yet to be taken in: one of those
forgotten too early is waited for ever after, and in a ring all that comes goes round till then."""
HANDED_BYTES_MAX: Final = RECORD_BYTES_MAX - 64 * 1_024
"""Of a state that is handed over: as much room is left for the hops around it."""
ASK_AGAIN_AFTER: Final = HOUR
"""An answer that does not come keeps sends back: it is asked for again."""

SENDS_MAX: Final = 1_000
"""Sends that caps may still count; when a person has so many, further ones are refused."""
SHADOW_SENDS_MAX: Final = 200
"""The same of sends that a holdout kept back."""
OPENS_MAX: Final = 32
"""What is under way at the dispatcher for one person and can be taken back; past it the oldest
is forgotten, and goes out."""
OPEN_SENDS_MAX: Final = 64
OPEN_SEND_KEPT: Final = 7 * DAY
"""Sends that no cap counts are remembered, so many and so long, for their deliveries."""
RUNS_MAX: Final = 16
RUNS_BYTES_MAX: Final = 192 * 1_024
"""Sends put off and journeys under way, and their events' properties."""
DEDUP_KEYS_MAX: Final = 256
ONCE_KEYS_MAX: Final = 256
ENTRIES_MAX: Final = 1_000
"""Past these three the oldest is forgotten first."""

SLOTS_BYTES_MAX: Final = 50_000
"""What entries remember of a person; past it those that wait forget the oldest of theirs."""
SLOT_BYTES: Final = 48
"""No slot takes more with its key (msgpack), unless it holds what happened."""
HELD_MAX: Final = 8
"""Events with outliers that a person has waiting to be confirmed; the oldest give way."""
HELD_PROPERTIES_BYTES_MAX: Final = 2 * 1_024
"""Properties (msgpack) of such an event; a larger one is not held, and stays out for good."""
OUTLIERS_JUDGED_MAX: Final = 50
"""Values of which a person's own distribution is kept."""
WAITING_KEYS_MAX: Final = 16
"""Absences of one trigger that a person waits for at a time."""
WAIT_PROPERTIES_BYTES_MAX: Final = 2 * 1_024
"""Properties (msgpack) of the event with which an absence began; what does not fit is left."""
SEQUENCE_EVENTS_MAX: Final = 32
"""Events of one trigger that may yet serve in a sequence."""
SETTLED_KEYS_MAX: Final = 16
"""Keys of one trigger of which it is remembered that they are done with."""

TAG_READS_MAX: Final = 200
"""Tags that one derived tag reads, with what those read in turn."""
TAGS_READS_MAX: Final = 2_000
"""The same of all derived tags of a workspace: a snapshot reads them all, within a millisecond."""

TRIGGERS_MAX: Final = 1_000
TAGS_MAX: Final = 200
POLICIES_MAX: Final = 50
SEGMENTS_MAX: Final = 100
LIFECYCLES_MAX: Final = 10
TEMPLATES_MAX: Final = 500
CONDITION_VALUES_MAX: Final = 500
CONDITION_TEXT_CHARS_MAX: Final = 1_000
CALENDAR_MEMO_MAX: Final = 4_096
KEYS_MEMO_MAX: Final = 4_096
