"""The training loop all stages share: a few single-threaded processes that average their weights, resumable by step count.

Single-threaded processes with local SGD waste less on a shared machine than one process with several threads: a thread that is
preempted stalls every parallel loop of the others, while the processes meet only every `MEET` steps.

The learning rate warms up, stays constant and falls linearly over the last fifth of the steps. It is a function of (step, steps)
only, so a run can be stopped (SIGTERM, or by killing it) and continued with another `--steps`: more to train on, fewer to finish now.
"""

import os
import signal
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import settings
from fast import Muon, half_precision

MEET = 8  # steps between two averagings
SAVE_EVERY = 200  # steps between two checkpoints
PORT = os.environ.get("TINY_PORT", "29517")


def launch(main: Callable[[int], None]) -> None:
    """Runs `main(rank)` in `settings.PROCESSES` processes."""
    if settings.PROCESSES == 1:
        main(0)
    else:
        children = mp.spawn(_child, args=(main,), nprocs=settings.PROCESSES, join=False)
        signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in children.pids()])
        while not children.join():
            pass


def _child(rank: int, main: Callable[[int], None]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=PORT)
    dist.init_process_group("gloo", rank=rank, world_size=settings.PROCESSES)
    main(rank)
    dist.destroy_process_group()


def wait() -> None:
    """Until every process is here."""
    if settings.PROCESSES > 1:
        dist.barrier()


def learning_rate(step: int, steps: int) -> float:
    """Of the peak rate."""
    warm = min(100, steps // 10 + 1)
    return min(1.0, (step + 1) / warm, max(0.01, (steps - step) / (0.2 * steps)))


class Log:
    """Prints and appends to `logs/STAGE.log`; only rank 0 writes."""

    def __init__(self, stage: str, rank: int) -> None:
        self.file = None
        if rank == 0:
            (settings.BUILD / "logs").mkdir(exist_ok=True)
            self.file = open(settings.BUILD / "logs" / f"{stage}.log", "a")

    def __call__(self, text: str) -> None:
        if self.file:
            line = f"{time.strftime('%H:%M:%S')} {text}"
            print(line, flush=True)
            print(line, file=self.file, flush=True)


def train(
    stage: str,
    rank: int,
    model: nn.Module,
    loss: Callable[[int], dict[str, torch.Tensor]],
    publish: Callable[[nn.Module], str],
    peak: float,
    muon: float = 0.0,
    average: float = 0.998,
) -> None:
    """Trains the parameters of `model` that require gradients: AdamW at a rate of at most `peak`, and with `muon` Muon at that rate
    for every matrix.

    `loss(step)` returns named terms; "total" is descended, the others are logged. `publish(model)` writes the averaged weights in
    their final format, at every checkpoint and at the end, and returns a line for the log.
    """
    steps, log, world = settings.steps(stage), Log(stage, rank), settings.PROCESSES
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrix = lambda p: muon > 0 and p.ndim >= 2 and not hasattr(p, "table")  # a table of embeddings has a row for each token
    matrices, others = [p for p in parameters if matrix(p)], [p for p in parameters if not matrix(p)]
    optimizers, peaks = [], []
    if others:
        optimizers.append(torch.optim.AdamW(others, peak, betas=(0.9, 0.99)))
        peaks.append(peak)
    if matrices:
        optimizers.append(Muon(matrices, muon))
        peaks.append(muon)
    path, step = settings.BUILD / f"checkpoint_{stage}.pt", 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        step = saved["step"]
        with torch.no_grad():
            for parameter, value in zip(parameters, saved["parameters"], strict=True):
                parameter.copy_(value)
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        smooth = saved["smooth"]
    else:
        smooth = [p.detach().clone() for p in parameters]
    torch.manual_seed(settings.SEED * 1_000_003 + step * 17 + rank)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    log(f"{stage}: step {step} of {steps}, {sum(p.numel() for p in parameters) / 1e6:.2f} M parameters, {world} processes")

    def save() -> None:
        if rank == 0:
            state = {"step": step, "parameters": [p.detach() for p in parameters], "smooth": smooth}
            temporary = path.with_suffix(".tmp")
            torch.save({**state, "optimizers": [o.state_dict() for o in optimizers]}, temporary)
            temporary.replace(path)
            current = [p.detach().clone() for p in parameters]
            _assign(parameters, smooth)
            model.eval()
            with torch.no_grad():
                line = publish(model)
            model.train()
            _assign(parameters, current)
            log(f"{stage}: saved at step {step}. {line}")

    model.train()
    begin, first, sums, counted = time.time(), step, {}, 0
    while step < steps:
        for optimizer, most in zip(optimizers, peaks):
            for group in optimizer.param_groups:
                group["lr"] = most * learning_rate(step, steps)
            optimizer.zero_grad()
        with half_precision():
            terms = loss(step)
        terms["total"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        counted += 1
        if step % MEET and step < steps:
            continue
        if _meet(parameters, bool(stop)):
            break
        decay = min(average, (1 + step) / (10 + step)) ** MEET
        for slow, fast in zip(smooth, parameters):
            slow.lerp_(fast.detach(), 1 - decay)
        if step % SAVE_EVERY == 0 or step == steps:
            means = " ".join(f"{name} {value / counted:.4f}" for name, value in sums.items())
            rate = (step - first) * settings.BATCH[stage] * world / (time.time() - begin)
            log(f"{stage}: {step} {means} | lr {peak * learning_rate(step, steps):.1e} {rate:.1f} samples/s")
            sums, counted = {}, 0
        if step % SAVE_EVERY == 0 and step < steps:
            save()
    save()


@torch.no_grad()
def _meet(parameters: list[torch.Tensor], stop: bool) -> bool:
    """Replaces every process's weights by the mean of all; true when any process was told to stop."""
    if settings.PROCESSES == 1:
        return stop
    flat = torch.cat([p.flatten() for p in parameters] + [torch.tensor([float(stop)])])
    dist.all_reduce(flat)
    flat /= settings.PROCESSES
    offset = 0
    for parameter in parameters:
        parameter.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()
    return bool(flat[-1] > 0)


@torch.no_grad()
def _assign(parameters: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values):
        parameter.copy_(value)
