"""A writer of SAS transport files (version 5) for tests, after SAS's note TS-140."""

import math
import struct

import numpy as np
import pandas as pd

EPOCH = pd.Timestamp("1960-01-01")


def ibm(value):
    """Eight bytes of an IBM double; a gap is SAS's missing value."""
    if np.isnan(value):
        return b"." + bytes(7)
    if value == 0:
        return bytes(8)
    exponent = math.floor(math.log(abs(value), 16)) + 1
    fraction = abs(value) / 16.0**exponent
    if fraction >= 1:
        fraction, exponent = fraction / 16, exponent + 1
    sign = 0x80 if value < 0 else 0
    return bytes([sign | (exponent + 64)]) + round(fraction * 2**56).to_bytes(7, "big")


def write_xport(table, path):
    """Write numbers, dates (as SAS days with a DATE format) and texts."""
    stamp = b"01JAN20:00:00:00"
    fields, kinds = [], []
    for name in table:
        is_date = pd.api.types.is_datetime64_any_dtype(table[name])
        is_number = is_date or pd.api.types.is_numeric_dtype(table[name])
        text = table[name].fillna("") if not is_number else []
        length = 8 if is_number else max([len(v.encode("latin-1")) for v in text] + [1])
        kinds.append((is_date, is_number, length))
    place, names = 0, b""
    for number, (name, (is_date, is_number, length)) in enumerate(zip(table, kinds), start=1):
        names += struct.pack(
            ">hhhh8s40s8shhh2s8shhl52s",
            1 if is_number else 2,
            0,
            length,
            number,
            name.encode().ljust(8),
            f"label of {name}".encode().ljust(40),
            (b"DATE" if is_date else b"").ljust(8),
            9 if is_date else 0,
            0,
            0,
            b"  ",
            b" " * 8,
            0,
            0,
            place,
            bytes(52),
        )
        place += length
        fields.append(name)

    def padded(data):
        return data + b" " * (-len(data) % 80)

    def header(kind, numbers="0" * 30):
        return f"HEADER RECORD*******{kind.ljust(8)}HEADER RECORD!!!!!!!{numbers}  ".encode()

    out = header("LIBRARY") + padded(b"SAS     SAS     SASLIB  9.4     LINUX   ".ljust(64) + stamp)
    out += padded(stamp)
    out += header("MEMBER", "000000000000000001600000000140")
    out += header("DSCRPTR")
    out += padded(b"SAS     TABLE   SASDATA 9.4     LINUX   ".ljust(64) + stamp) + padded(stamp)
    out += header("NAMESTR", f"000000{len(fields):04d}".ljust(30, "0")) + padded(names)
    out += header("OBS")
    rows = b""
    for _, row in table.iterrows():
        for name, (is_date, is_number, length) in zip(fields, kinds):
            value = row[name]
            if is_date:
                value = np.nan if pd.isna(value) else (value - EPOCH).days
            if is_number:
                rows += ibm(float(value))
            else:
                rows += ("" if pd.isna(value) else value).encode("latin-1").ljust(length)
    path.write_bytes(out + padded(rows))
