"""What the demo must come to, found without any of the engine's code.

A plain pandas pass over the file for everything that is a total, and for decisions naive
loops over each person's lines in order. The rules (windows, caps, keys, priorities) are
written out here by hand, not read from the demo's definitions. Time is seconds since 1970;
money is integer tenths of a penny, so that sums are exact.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd

LONDON: Final = ZoneInfo("Europe/London")
HOUR: Final = 3600
DAY: Final = 24 * HOUR
TRAILING_DAYS: Final = 3
HOME: Final = ("United Kingdom", "Unspecified")

COLUMNS: Final = {
    "InvoiceNo": "invoice",
    "StockCode": "product",
    "Quantity": "quantity",
    "InvoiceDate": "local",
    "UnitPrice": "price",
    "CustomerID": "customer",
    "Country": "country",
}


@dataclass(frozen=True)
class Caps:
    """The demo's frequency caps."""

    in_24h: int = 3
    in_week: int = 5
    thanks_in_month: int = 4


@dataclass(frozen=True)
class Rule:
    """One trigger of the demo."""

    name: str
    priority: int
    marketing: bool = True
    key_days: int | None = None
    cooldown_days: int | None = None
    once: bool = False
    waits_hours: int | None = None


PERSONAL_SERVICE: Final = Rule("personal_service", 95, cooldown_days=30)
EXPORT_PAPERS: Final = Rule("export_papers", 80, marketing=False, key_days=30)
RETURN_FOLLOW_UP: Final = Rule("return_follow_up", 80, marketing=False, key_days=30)
WELCOME: Final = Rule("welcome", 70, once=True)
COME_BACK: Final = Rule("come_back", 65)
BIG_LINE: Final = Rule("big_line_thanks", 60, key_days=7, waits_hours=48)
WHOLESALE: Final = Rule("wholesale_offer", 50, cooldown_days=90)
ORDER_THANKS: Final = Rule("order_thanks", 20, key_days=30)


@cache
def midnight(day: int) -> int:
    """The second at which a civil day of London begins; days are date ordinals."""
    start = date.fromordinal(day)
    return int(datetime(start.year, start.month, start.day, tzinfo=LONDON).timestamp())


def in_days(day: int, now: int, days: int) -> bool:
    """Whether a rolling window of so many days that ends now still holds a civil day.

    It does while any instant of that day is inside (now - window, now].
    """
    return now < midnight(day + 1) + days * DAY


def read(path: Path) -> pd.DataFrame:
    """The file with exact amounts, UTC seconds and London days, and what each line is."""
    lines = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=COLUMNS)
    lines["duplicate"] = lines.duplicated()
    lines["quantity"] = lines["quantity"].astype(int)
    lines["mills"] = [int(Decimal(price) * 1000) for price in lines["price"]]
    local = pd.to_datetime(lines["local"])
    lines["at"] = local.dt.tz_localize(LONDON).astype("datetime64[s, UTC]").astype("int64")
    lines["day"] = [moment.toordinal() for moment in local.dt.date]
    cancelled = lines["invoice"].str.startswith("C")
    adjusted = lines["invoice"].str.startswith("A") | (~cancelled & (lines["quantity"] < 0))
    lines["kind"] = "bought"
    lines.loc[lines["mills"] == 0, "kind"] = "given"
    lines.loc[adjusted, "kind"] = "adjusted"
    lines.loc[cancelled, "kind"] = "returned"
    lines.loc[cancelled, "quantity"] *= -1
    lines["revenue"] = lines["mills"] * lines["quantity"]
    return lines


@dataclass(frozen=True)
class Candidate:
    """A trigger that wants to send. `key` is the order; `entered` is set once put off."""

    rule: Rule
    key: str
    deadline: int
    entered: int
    put_off: bool = False


@dataclass
class Person:
    """What the naive loop remembers of one person."""

    bought: int = 0
    bought_on: Counter[int] = field(default_factory=Counter)
    bulk_on: Counter[int] = field(default_factory=Counter)
    spent_on: Counter[int] = field(default_factory=Counter)
    entered: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    marketing: list[int] = field(default_factory=list)
    thanks: list[int] = field(default_factory=list)
    waiting: list[tuple[int, Candidate]] = field(default_factory=list)


class Oracle:
    """Expected totals of one file."""

    def __init__(self, path: Path, caps: Caps | None = None) -> None:
        self.caps = caps or Caps()
        self.lines = read(path)
        self.known = self.lines[self.lines["customer"] != ""]
        self.once = self.known[~self.known["duplicate"]]
        self.last_midnight = midnight(int(self.lines["day"].iloc[-1]) + 1 + TRAILING_DAYS)
        self.decisions: dict[str, Counter[str]] = defaultdict(Counter)
        self.policies: Counter[str] = Counter()
        for _, rows in self.known.groupby("customer", sort=False):
            self._live(rows)

    def totals(self) -> dict[str, Any]:
        """Everything that is a plain count of the file."""
        return {
            "sent": len(self.lines),
            "accepted": len(self.known),
            "refused": {"missing_identity": int((self.lines["customer"] == "").sum())},
            "folded": {
                "applied": len(self.once),
                "duplicate": len(self.known) - len(self.once),
            },
            "people": int(self.known["customer"].nunique()),
        }

    def sends(self) -> dict[str, int]:
        """Messages by trigger."""
        return {name: n for name, counts in self.decisions.items() if (n := counts["sent"])}

    def _live(self, rows: pd.DataFrame) -> None:
        """Go through one person's lines in the order of the file."""
        person = Person()
        for row in rows.itertuples():
            line: Any = row
            self._pass_midnights(person, before=line.at)
            # Even a duplicate line brings the time along.
            candidates = self._due(person, line.at)
            if not line.duplicate:
                candidates += self._enter(person, line)
            self._settle(person, candidates, line.at)
        self._pass_midnights(person, before=self.last_midnight + 1)

    def _pass_midnights(self, person: Person, before: int) -> None:
        while person.waiting:
            due = min(due for due, _ in person.waiting)
            day = datetime.fromtimestamp(due, LONDON).date().toordinal()
            tick = midnight(day) if midnight(day) >= due else midnight(day + 1)
            if tick >= before:
                return
            self._settle(person, self._due(person, tick), tick)

    def _due(self, person: Person, now: int) -> list[Candidate]:
        due = [one for at, one in person.waiting if at <= now]
        person.waiting = [(at, one) for at, one in person.waiting if at > now]
        for one in due:
            if now >= one.deadline:
                self.decisions[one.rule.name]["expired"] += 1
        return [one for one in due if now < one.deadline]

    def _enter(self, person: Person, line: Any) -> list[Candidate]:
        """Count the line, then see which triggers it enters."""
        rules: list[Rule] = []
        if line.kind == "returned":
            rules = [RETURN_FOLLOW_UP]
        elif line.kind == "bought":
            person.bought += 1
            person.bought_on[line.day] += 1
            person.spent_on[line.day] += line.revenue
            person.bulk_on[line.day] += line.quantity >= 12
            rules = [WELCOME, ORDER_THANKS]
            if _window(person.spent_on, line.at, 30) >= 1000 * 1000:
                rules.append(PERSONAL_SERVICE)
            if line.country not in HOME:
                rules.append(EXPORT_PAPERS)
            if person.bought > 1 and _window(person.bought_on, line.at, 60) == 1:
                rules.append(COME_BACK)
            if line.revenue >= 250 * 1000:
                rules.append(BIG_LINE)
            if line.quantity >= 12:
                rules.append(WHOLESALE)
        return [Candidate(rule, line.invoice, line.at + DAY, line.at) for rule in rules]

    def _settle(self, person: Person, candidates: list[Candidate], now: int) -> None:
        candidates.sort(key=lambda one: (-one.rule.priority, one.deadline, one.rule.name))
        for one in candidates:
            outcome = self._decide(person, one, now)
            self.decisions[one.rule.name][outcome] += 1

    def _decide(self, person: Person, one: Candidate, now: int) -> str:
        rule, key = one.rule, (one.rule.name, one.key)
        if rule is WHOLESALE and _window(person.bulk_on, now, 90) < 20:
            return "audience"
        if not one.put_off:
            seen = person.keys.get(key)
            if rule.key_days and seen is not None and now < seen + rule.key_days * DAY:
                return "dedup"
            entered = person.entered.get(rule.name)
            if entered is not None and rule.once:
                return "reentry"
            rest = (rule.cooldown_days or 0) * DAY
            if entered is not None and now < entered + rest:
                return "reentry"
        frees = self._capped(person, rule, now)
        if frees is not None and rule.waits_hours is None:
            return "cap"
        if not one.put_off:
            person.keys[key] = person.entered[rule.name] = now
        if frees is not None:
            expires = one.deadline if one.put_off else now + (rule.waits_hours or 0) * HOUR
            waiting = Candidate(rule, one.key, expires, one.entered, put_off=True)
            person.waiting.append((min(frees, expires), waiting))
            return "cap"
        if rule.marketing:
            person.marketing.append(now)
        if rule is ORDER_THANKS:
            person.thanks.append(now)
        return "sent"

    def _capped(self, person: Person, rule: Rule, now: int) -> int | None:
        """When the last of the caps that refuse frees, None where all let it pass."""
        if not rule.marketing:
            return None
        today = datetime.fromtimestamp(now, LONDON).date()
        monday = today - timedelta(days=today.weekday())
        first = today.replace(day=1)
        next_month = (first + timedelta(days=32)).replace(day=1)
        recent = [at for at in person.marketing if at > now - DAY]
        week = [at for at in person.marketing if at >= midnight(monday.toordinal())]
        month = [at for at in person.thanks if at >= midnight(first.toordinal())]
        refusals: list[tuple[str, int]] = []
        if len(recent) >= self.caps.in_24h:
            refusals.append(("marketing_daily", recent[-self.caps.in_24h] + DAY))
        if len(week) >= self.caps.in_week:
            refusals.append(("marketing_weekly", midnight(monday.toordinal() + 7)))
        if rule is ORDER_THANKS and len(month) >= self.caps.thanks_in_month:
            refusals.append(("order_thanks_monthly", midnight(next_month.toordinal())))
        if not refusals:
            return None
        policy, frees = max(refusals, key=lambda refusal: refusal[1])
        self.policies[policy] += 1
        return frees


def _window(per_day: Counter[int], now: int, days: int) -> int:
    return sum(count for day, count in per_day.items() if in_days(day, now, days))
