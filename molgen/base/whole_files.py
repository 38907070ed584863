"""Files that are written whole or not at all; hashes of files; the cache folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from molgen.base.output_places import replacing


def cache_folder() -> Path:
    """The folder where downloads and derived files are kept.

    The environment variable ``MOLGEN_CACHE`` overrides the platform's user cache folder.
    """
    override = os.environ.get("MOLGEN_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("digital-double")) / "molgen"


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as made:
        made.write_bytes(content)


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
