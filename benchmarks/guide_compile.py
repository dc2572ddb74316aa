"""What torch.compile is worth on this device: the guide's blocks compiled and eager, in turns, equality checked first.

Asked as the search asks (one task, several noisy carries), and trained as dreams train it (forward, loss, backward, optimizer).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.guide_tasks import library
from benchmarks.rounds import in_turns, ratio
from nssr import pretrained, registry, search
from nssr.device import enable_compile, mark_step, resolve_device
from nssr.dream_training import Batch, DreamSettings, DreamStream, dream_loss, dream_optimizer
from nssr.dreams import Dreamer
from nssr.model import TRM, fresh_carry, predict_slots
from nssr.train import descend

CALLS = 20  # a round
ROUNDS = 7


def _trained(model: TRM, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    mark_step(model.device)
    _, outputs = model(fresh_carry(len(batch.x), batch.x.shape[1], model.d_model, device=model.device), batch.x)
    loss = dream_loss(outputs, batch.solvers, all_solvers=True).total
    descend(model, optimizer, loss)
    return float(loss.detach())


def compiled_against_eager(guide: pretrained.Pretrained, console: Console) -> dict[str, Any]:
    """Seconds of compiling, and how many times as fast each use is; the CPU's time on a CPU, the clock's elsewhere."""
    device = resolve_device("auto")
    _, state = library()
    models = {}
    for name in ("eager", "compiled"):
        torch.manual_seed(0)
        models[name] = pretrained.fitted_to(guide, registry.plain_names(state)).to(device)
    eager, settings = models["eager"], DreamSettings()
    start = time.perf_counter()
    if not enable_compile(models["compiled"], "on", batch_size=settings.batch_size):
        raise RuntimeError("torch.compile does not work here")
    result: dict[str, Any] = {"device": str(device), "warm-up seconds": time.perf_counter() - start}
    stream = DreamStream(Dreamer(state, seed=1), input_dim=eager.input_dim, seq_len=eager.seq_len, tables=4)
    taken = stream.take(settings.batch_size)
    batch = Batch(taken.x.to(device), taken.solvers.to(device))
    asked = {
        name: (lambda model=model: predict_slots(model, batch.x[:1], n_carries=search.CARRIES, noise=search.CARRY_NOISE))
        for name, model in models.items()
    }  # fmt: skip
    answers = {name: ask() for name, ask in asked.items()}
    for slot in ("primary", "secondary", "tertiary", "composition"):
        a, b = (getattr(answers[name], slot) for name in models)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    optimizers = {name: dream_optimizer(model, settings) for name, model in models.items()}
    trained = {name: (lambda name=name: _trained(models[name], optimizers[name], batch)) for name in models}
    np.testing.assert_allclose(trained["eager"](), trained["compiled"](), rtol=1e-3)

    def rounds_of(call: Any) -> Any:
        return lambda: [call() for _ in range(CALLS)]

    def clock() -> float:
        if device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(device)
        return time.perf_counter()

    for use, sides in (("asked", asked), (f"trained in batches of {settings.batch_size}", trained)):
        timing = in_turns({name: rounds_of(call) for name, call in sides.items()}, ROUNDS, clock)
        times = ratio(timing["eager"], timing["compiled"])
        result[use] = {"eager": timing["eager"].seconds, "compiled": timing["compiled"].seconds, "times": times}
        console.print(
            f"{device}, {use}: eager {timing['eager'].rate(CALLS)}, compiled {timing['compiled'].rate(CALLS)}, "
            f"{times[0]:.2f} [{times[1]:.2f} to {times[2]:.2f}] times; {result['warm-up seconds']:.0f} s of compiling before"
        )
    return result
