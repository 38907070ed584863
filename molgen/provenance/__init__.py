"""Whether a file and an installation may be trusted: `verify` and `qualify`, above all rooms.

verification    a saved file against its record, its rows made again
repeating       the command that wrote a file, run again
kit, *cases     independent values beside what this installation computes
qualification   runs the kit and writes the page to be signed
"""

from molgen.base.whole_files import hash_file
from molgen.files.provenance_records import Provenance, canonical_text, record, row_digests
from molgen.files.tables import load_table, save_table, sidecar_path, write_beside
from molgen.provenance.kit import Qualification
from molgen.provenance.qualification import qualify
from molgen.provenance.repeating import OUTPUT_WORDS
from molgen.provenance.verification import Discrepancy, Verification, verify

__all__ = [
    "OUTPUT_WORDS",
    "Discrepancy",
    "Provenance",
    "Qualification",
    "Verification",
    "canonical_text",
    "hash_file",
    "load_table",
    "qualify",
    "record",
    "row_digests",
    "save_table",
    "sidecar_path",
    "verify",
    "write_beside",
]
