"""Tables and values that come as text: encodings, delimiters, decimal commas, codes, dates.

What a spreadsheet or a statistics program writes is read as it was meant, or refused; nothing is
guessed where two readings are possible.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.base.user_warnings import warn_user

#: Words, in lower case, for something that happened and for something that did not.
_YES = {"1", "1.0", "yes", "y", "true", "event", "died", "dead", "death", "deceased"}
_NO = {"0", "0.0", "no", "n", "false", "censored", "alive", "none", "no event"}
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 50  # lines that tell the delimiter
#: Texts that stand for a gap among numbers (R's, SAS's, a spreadsheet's).
_GAPS = ("NA", "N/A", "n/a", ".", "NaN", "nan", "#N/A")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(\r\n|\r|\n)')
_COMMA = re.compile(r"\s*[-+]?\d+(,\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(,\d{3})+\s*")
_NUMERIC_DATE = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d).*")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)|^\s*\d{8}\s*$")


def read_text_table(content: bytes, usual: str, name: str) -> pd.DataFrame:
    """A table of delimited text.

    UTF-8 and UTF-16 are told by their bytes, anything else is read as Windows-1252, with a warning;
    the delimiter is the one that divides the header and the first lines alike, ``usual`` if
    several do; where it is no comma, numbers may have decimal commas. Only an empty field is a gap:
    "None" and "NA" are levels in real trials, unless all else in the column are numbers. Whole
    numbers of one width, some with leading zeros,
    are codes and stay text.

    Args:
        usual: the delimiter that the file's ending says. name: of the file, for warnings.

    Raises:
        ValueError: no table, or one that cannot be parsed.

    Examples:
        >>> from trial_sim.data.texts import read_text_table
        >>> read_text_table(b"site;score\\n01;1,5\\n12;2,25\\n", ",", "mine.csv").to_dict("list")
        {'site': ['01', '12'], 'score': [1.5, 2.25]}
    """
    text = _decoded(content, name)
    first = _SEPARATOR_LINE.match(text)
    if first:
        text, delimiter = text[first.end() :], first[1]
    else:
        delimiter = _delimiter(text, usual)
    options: dict[str, Any] = {"sep": delimiter, "keep_default_na": False, "na_values": [""]}
    table = pd.read_csv(io.StringIO(text), **options)
    for column in table.columns:
        table[column] = _numbers_of_texts(table[column], delimiter != ",", name)
    numeric = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
    numeric = [c for c in numeric if not pd.api.types.is_bool_dtype(table[c])]
    if re.search(rf"(^|{re.escape(delimiter)})\"?0\d", text, re.MULTILINE) and len(table):
        written = pd.read_csv(io.StringIO(text), dtype=str, **options)
        for column in numeric:
            if _are_codes(written[column].dropna()):
                table[column] = written[column]
    return table


def _decoded(content: bytes, name: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:
            raise ValueError("it is no text") from None
        warn_user(f"{name} is not UTF-8; it is read as Windows-1252")
        return content.decode("cp1252", "replace")


def _delimiter(text: str, usual: str) -> str:
    """The delimiter that divides the first lines into the most fields, of one number."""
    lines = [line for line in text[:200_000].splitlines() if line.strip()][:_SAMPLE]

    def worth(delimiter: str) -> tuple[bool, int, bool]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        if not widths or widths[0] < 2:
            return False, 0, delimiter == usual
        return all(w == widths[0] for w in widths), widths[0], delimiter == usual

    return max(_DELIMITERS, key=worth)


def _numbers_of_texts(values: pd.Series, commas: bool, name: str) -> pd.Series:
    """The numbers of a column in which they have decimal commas, or in which words such as NA
    stand for gaps; else the column itself."""
    if values.dtype != object:
        return values
    there = values.dropna().astype(str)
    words = there.isin(_GAPS)
    texts = there[~words]
    with_comma = commas and len(texts) and texts.str.contains(",").any()
    if with_comma:
        if not all(_COMMA.fullmatch(t) for t in texts):
            return values
        if all("," not in t or _THOUSANDS.fullmatch(t) for t in texts):
            return values  # 1,234 may be either
        texts = texts.str.replace(",", ".")
    numbers = pd.to_numeric(texts, errors="coerce")
    if not len(numbers) or numbers.isna().any() or not (with_comma or words.any()):
        return values
    if words.any():
        shown = ", ".join(dict.fromkeys(there[words]))
        warn_user(f"{shown} in column {values.name!r} of {name} is read as a missing number")
    return numbers.reindex(values.index).astype(float)


def _are_codes(written: pd.Series) -> bool:
    """Whether these texts of whole numbers are codes: of one width, some with a leading zero."""
    texts = written.str.strip()
    return bool(
        len(texts)
        and texts.str.fullmatch(r"\d+").all()
        and texts.str.fullmatch(r"0\d+").any()
        and texts.str.len().nunique() == 1
    )


def as_dates(values: pd.Series) -> pd.Series:
    """A column of dates.

    Of dates such as 05/01/1962 the whole column tells whether day or month comes first; where it
    does not, they are refused, and so are years of two digits.

    Raises:
        ValueError: naming the first value that is no date, or could be two.

    Examples:
        >>> import pandas as pd
        >>> from trial_sim.data.texts import as_dates
        >>> as_dates(pd.Series(["05/01/1962", "31/01/1962"])).dt.strftime("%Y-%m-%d").tolist()
        ['1962-01-05', '1962-01-31']
    """
    if pd.api.types.is_numeric_dtype(values):
        values = _eight_digits(values)
    elif values.dtype != object and not pd.api.types.is_string_dtype(values):
        return pd.to_datetime(values, errors="coerce")
    texts = values.dropna().astype(str)
    found = texts.map(_NUMERIC_DATE.fullmatch).dropna()
    first = found.map(lambda m: int(m[1])).to_numpy()
    second = found.map(lambda m: int(m[3])).to_numpy()
    day_first = bool((first > 12).any())
    if day_first and (second > 12).any():
        raise ValueError(
            f"column {values.name!r} has dates with the day first and with the month first, such "
            f"as {texts[found.index].iloc[first.argmax()]!r} and "
            f"{texts[found.index].iloc[second.argmax()]!r}; write 1962-01-31"
        )
    if len(found) and not day_first and not (second > 12).any() and (first != second).any():
        raise ValueError(
            f"column {values.name!r} could have the day or the month first, as in "
            f"{texts[found.index].iloc[(first != second).argmax()]!r}; write 1962-01-31"
        )
    for row, text in texts.items():
        if not _YEAR.search(text):
            raise ValueError(
                f"column {values.name!r} must hold dates with a year of four digits, such as "
                f"2024-03-31; row {row} holds {text!r}"
            )
    parsed = pd.to_datetime(values, errors="coerce", format="mixed")
    if day_first:
        turned = pd.to_datetime(texts[found.index], errors="coerce", format="mixed", dayfirst=True)
        parsed = parsed.where(~values.index.isin(found.index), turned.reindex(values.index))
    wrong = parsed.isna() & values.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ValueError(
            f"column {values.name!r} must hold dates such as 2024-03-31; row {row} holds "
            f"{values.iloc[row]!r}"
        )
    return parsed


def _eight_digits(values: pd.Series) -> pd.Series:
    """The texts of numbers such as 20240131.

    Raises:
        ValueError: for other numbers, which pandas would take for nanoseconds since 1970.
    """
    numbers = values.dropna()
    dated = numbers.between(10_000_000, 99_999_999) & (numbers == numbers.round())
    if pd.api.types.is_bool_dtype(values) or not dated.all():
        raise ValueError(
            f"column {values.name!r} must hold dates, got numbers such as "
            f"{numbers[~dated].iloc[0] if not dated.all() else numbers.iloc[0]!r}; days as Excel "
            "or SAS count them are read by pandas.to_datetime(column, unit='D', "
            "origin='1899-12-30') or '1960-01-01'"
        )
    return numbers.astype("int64").astype(str).reindex(values.index)


def yes_and_no(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Which values say that something happened (1, yes, dead, ...), and which that it did not (0,
    no, alive, ...), in any letter case; each (n,) bool."""
    words = values.astype(str).str.strip().str.lower()
    return words.isin(_YES).to_numpy(), words.isin(_NO).to_numpy()


def as_flag(values: pd.Series) -> pd.Series:
    """A column of words such as yes and no, dead and alive as 1 and 0, with a warning that says
    which is which; any other column as it is. Gaps stay gaps, also those written NA or n/a.

    Examples:
        >>> import pandas as pd, warnings
        >>> from trial_sim.data.texts import as_flag
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     as_flag(pd.Series(["Dead", "alive", None], name="status")).tolist()
        [1.0, 0.0, nan]
    """
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return values
    there = values.dropna()
    gaps = there.astype(str).str.strip().isin(_GAPS).to_numpy()
    yes, no = yes_and_no(there)
    if not (yes | no).any() or not (yes | no | gaps).all():
        return values
    told = [
        f"{' and '.join(map(repr, dict.fromkeys(there[which])))} as {code}"
        for code, which in ((1, yes), (0, no), ("missing", gaps))
        if which.any()
    ]
    warn_user(f"column {values.name!r}: {', '.join(told)}")
    flags = pd.Series(yes.astype(float), index=there.index, name=values.name)
    return flags[~gaps].reindex(values.index)


def find_arm(wanted: Any, found: Sequence[Any], what: str = "control") -> Any:
    """The arm of a table that a description names, whether it writes ``1`` or ``"1"``.

    Raises:
        ValueError: there is none.

    Examples:
        >>> from trial_sim.data.texts import find_arm
        >>> find_arm("1", [1, 2]), find_arm("false", [True, False])
        (1, False)
    """
    for same in (
        lambda a: a == wanted and type(a) is type(wanted),
        lambda a: a == wanted and not isinstance(a, bool) and not isinstance(wanted, bool),
        lambda a: str(a) == str(wanted),
        lambda a: isinstance(a, bool) and str(a).lower() == str(wanted).lower(),
    ):
        alike = [a for a in found if same(a)]
        if len(alike) == 1:
            return alike[0]
    shown = ", ".join(repr(a) for a in found[:8])
    raise ValueError(f"{what} {wanted!r} is no arm{nearest(str(wanted), [str(a) for a in found])}"
                     f"; the arms are {shown}")  # fmt: skip
