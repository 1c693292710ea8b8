"""Cut the bundled sample from the whole Online Retail file; README.md beside it says how.

python -m services.cli.data.make_sample online_retail.csv.gz online_retail_sample.csv.gz
"""

import csv
import gzip
import hashlib
import sys
from pathlib import Path
from typing import Final

KEPT_PERMILLE: Final = 150
CUSTOMER_COLUMN: Final = 6
INVOICE_COLUMN: Final = 0


def kept(cells: list[str]) -> bool:
    """Whether the customer is in the sample; for a line without customer, its invoice."""
    customer = cells[CUSTOMER_COLUMN]
    unit = f"customer:{customer}" if customer else f"invoice:{cells[INVOICE_COLUMN]}"
    digest = hashlib.blake2b(unit.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 1000 < KEPT_PERMILLE


def cut(whole: bytes) -> bytes:
    """The header and the kept lines, byte for byte and in order, gzipped without a date."""
    header, *lines = whole.splitlines(keepends=True)
    sample = [line for line in lines if kept(next(csv.reader([line.decode()])))]
    return gzip.compress(b"".join([header, *sample]), compresslevel=9, mtime=0)


def main(source: Path, target: Path) -> None:
    """Write the sample of `source` to `target`."""
    target.write_bytes(cut(gzip.decompress(source.read_bytes())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
