"""Where networks compute: on the processor or on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def choose_device(device: str = "auto") -> torch.device:
    """The device of a name as PyTorch has it (``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``);
    ``"auto"`` is a GPU where there is one.

    Raises ValueError if the name is unknown, or this machine does not have the device.

    Examples:
        >>> from molgen.base.devices import choose_device
        >>> choose_device("cpu")
        device(type='cpu')
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device is {device!r}, which cannot be used here ({reason}); expected 'cpu', 'cuda', "
            "the name of another device that PyTorch finds on this machine, or 'auto'"
        ) from None
    return chosen
