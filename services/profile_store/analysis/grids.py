"""Names for RFM scores, by tables that leave no score without a name and give none two.

A row for each recency score, a column for the mean of frequency and monetary, halves up.

`ELEVEN` has the names, and the ranges of both scores, of the chart that Putler published
("RFM Analysis For Successful Customer Segmentation", putler.com/rfm-analysis) and that many
tools took over. Ranges of that chart overlap: here each cell has one of the names whose
ranges hold it. `SIMPLE` is this project's own, four names for a start.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

Grid = Literal["simple", "eleven"]
Table: TypeAlias = tuple[tuple[str, str, str, str, str], ...]

ELEVEN: Final[Table] = (
    ("lost", "lost", "at_risk", "cant_lose", "cant_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "at_risk"),
    ("promising", "about_to_sleep", "need_attention", "loyal", "loyal"),
    ("promising", "potential_loyalist", "potential_loyalist", "champion", "champion"),
    ("new", "potential_loyalist", "potential_loyalist", "champion", "champion"),
)
SIMPLE: Final[Table] = (
    ("general", "general", "at_risk", "at_risk", "at_risk"),
    ("general", "general", "at_risk", "at_risk", "at_risk"),
    ("general", "general", "potential", "high_value", "high_value"),
    ("potential", "potential", "potential", "high_value", "high_value"),
    ("potential", "potential", "potential", "high_value", "high_value"),
)
TABLES: Final[dict[Grid, Table]] = {"simple": SIMPLE, "eleven": ELEVEN}


def segment_of(grid: Grid) -> Callable[[int, int, int], str]:
    """A function from the three scores (1 to 5) to the name a grid gives them."""
    table = TABLES[grid]

    def named(r: int, f: int, m: int) -> str:
        return table[r - 1][(f + m + 1) // 2 - 1]

    return named
