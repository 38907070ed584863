"""Muon in float32 against torch's own in bfloat16, and a true orthogonal factor."""

import os
import subprocess
import sys

import pytest
import torch

from molgen.model import precision
from molgen.model.precision import Muon, half_is_faster, orthogonal

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.mark.parametrize("shape", [(24, 24), (40, 16), (16, 40)])
def test_orthogonal_keeps_singular_vectors_and_evens_singular_values(shape) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = u.T @ orthogonal(matrix, COEFFICIENTS, 5, 1e-7) @ v.T
    values = made.diagonal()
    assert ((values > 0.5) & (values < 1.5)).all()
    torch.testing.assert_close(made, torch.diag(values), atol=1e-3, rtol=0)


@pytest.mark.parametrize("adjust", [None, "original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_in_float32_are_those_of_torch_but_for_rounding(
    monkeypatch, adjust, nesterov
) -> None:
    monkeypatch.setattr(precision, "half_is_faster", lambda kind: False)
    start = torch.randn(32, 12, generator=torch.Generator().manual_seed(1))
    settings = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": adjust, "nesterov": nesterov}
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine, reference = Muon([ours], **settings), torch.optim.Muon([theirs], **settings)
    for seed in range(3):
        gradient = torch.randn(32, 12, generator=torch.Generator().manual_seed(seed + 2))
        for parameter, optimizer in ((ours, mine), (theirs, reference)):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved
    state = mine.state_dict()["state"][0]["momentum_buffer"]
    torch.testing.assert_close(state, reference.state_dict()["state"][0]["momentum_buffer"])


def test_gpus_take_bfloat16() -> None:
    assert half_is_faster("cuda")


def test_without_avx512_float32_is_taken() -> None:
    program = "from molgen.model.precision import half_is_faster; print(half_is_faster())"
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    found = subprocess.run(
        [sys.executable, "-c", program], env=limited, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
