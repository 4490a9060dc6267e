"""How long tuning takes to the training loss that PEFT's documented recipe ends with.

    python benchmarks/convergence.py [--epochs 8] [--probe-epochs 1] [--quick]
    python benchmarks/convergence.py --epochs 50 --stand-in [--our-epochs 10]
    python benchmarks/convergence.py --rates 0.03 --known LOSS EPOCH [--our-epochs 10] [--set accumulate=1]

PEFT, as its documentation has it: AdamW, a linear schedule, a start from text, 20 virtual tokens, batch 8 with padding.
Its learning rate is the best of three after an epoch each, and only the full run with the best one counts. Ours:
the tuning loop with its defaults, on the same rows. Compared are seconds until the mean loss of an epoch first reaches
the lowest epoch mean of PEFT's run.

`--stand-in` spares hours: PEFT runs the probes for real, which tell its seconds an epoch; the losses of whole runs with
all three rates are computed by our engine from the same start, on the same batches, with the same optimizer (the first
losses of both are equal to five digits in `step.py`), and the best of them counts. `--known` takes from such a run
which loss PEFT's best epoch has, so that only what is timed runs: PEFT's probe and ours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common import begin, encode, padded, parser, peft_model, plain_model, read_rows, record, table
from softprompt import load_model, tune
from softprompt.data.records import Example
from softprompt.engine import events
from softprompt.engine.packing import Row
from softprompt.engine.precision import decided, products
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.params import LAB_INSTRUCTION, TuneConfig

RATES = (3e-2, 3e-3, 1e-3)


@dataclass(frozen=True)
class Curve:
    """Mean loss of each epoch, and the seconds from the start to its end."""

    losses: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def seconds_each(self) -> float:
        return self.seconds[-1] / len(self.seconds)

    def reaches(self, loss: float) -> float | None:
        return next((s for value, s in zip(self.losses, self.seconds, strict=True) if value <= loss), None)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--epochs", type=int, default=8, help="of PEFT's run")
    made.add_argument("--probe-epochs", type=int, default=1, help="with each learning rate, before PEFT's run")
    made.add_argument("--virtual-tokens", type=int, default=20, help="of PEFT's prompt")
    made.add_argument("--stand-in", action="store_true", help="compute the losses of PEFT's whole runs by our engine")
    made.add_argument("--known", nargs=2, metavar=("LOSS", "EPOCH"), help="of PEFT's run, computed before")
    made.add_argument("--rates", type=float, nargs="+", default=RATES, help="learning rates of PEFT that are tried")
    made.add_argument("--our-epochs", type=int, help="instead of the default")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of our run, not the default")
    options = made.parse_args()
    facts = begin(options)
    pairs = read_rows(options.rows)
    if options.quick:
        pairs, options.epochs, options.probe_epochs = pairs[:32], 2, 1
    plain, tokenizer = plain_model(options.model)
    encoder, rows = encode(tokenizer, pairs)
    probes = {rate: peft_run(options, plain, encoder, rows, rate, options.probe_epochs) for rate in options.rates}
    if options.known:
        best, probe = next(iter(probes.items()))
        theirs = Curve((float(options.known[0]),), (int(options.known[1]) * probe.seconds_each,))
    elif options.stand_in:
        whole = {rate: stand_in(options, encoder, rows, rate, probes[rate]) for rate in options.rates}
        best = min(options.rates, key=lambda rate: min(whole[rate].losses))
        theirs = whole[best]
    else:
        best = min(options.rates, key=lambda rate: probes[rate].losses[-1])
        theirs = peft_run(options, plain, encoder, rows, best, options.epochs)
    target = min(theirs.losses)
    print(f"\nPEFT: {options.virtual_tokens} virtual tokens, learning rate {best:g} (best of {options.rates}), batch 8")
    ours = our_run(options, pairs, target)
    report(options, facts, {"peft": theirs, "ours": ours}, target, best)


def report(
    options: argparse.Namespace, facts: dict[str, Any], curves: dict[str, Curve], target: float, rate: float
) -> None:
    wait = {side: curve.reaches(target) for side, curve in curves.items()}
    lines = []
    for side, curve in curves.items():
        reached, told = wait[side], " ".join(f"{loss:.3f}" for loss in curve.losses)
        lines.append([side, "never" if reached is None else f"{reached:.1f}", f"{curve.seconds[-1]:.1f}", told])
    table(["", f"seconds to {target:.4f}", "seconds in all", "epoch losses"], lines)
    ratio = wait["peft"] / wait["ours"] if wait["peft"] and wait["ours"] else None
    print("ours did not get there" if ratio is None else f"PEFT took {ratio:.2f} times as long")
    sides = {side: {"losses": curve.losses, "seconds": curve.seconds} for side, curve in curves.items()}
    record(options, "convergence", facts, {"target": target, "peft_rate": rate, "speedup": ratio, **sides})


def peft_run(
    options: argparse.Namespace, plain: Any, encoder: Encoder, rows: Sequence[Row], rate: float, epochs: int
) -> Curve:
    """The recipe with PEFT itself."""
    model = peft_model(plain, [plain.get_input_embeddings().weight[start_ids(options, encoder)].detach().clone()])
    model.train()

    def backward(batch: Sequence[Row]) -> float:
        loss = model(**padded(batch, encoder.head, encoder.end)).loss
        loss.backward()
        return float(loss)

    return documented(f"PEFT, learning rate {rate:g}", model.parameters(), backward, rows, rate, epochs)


def stand_in(options: argparse.Namespace, encoder: Encoder, rows: Sequence[Row], rate: float, probe: Curve) -> Curve:
    """The recipe with our engine, and the seconds that PEFT's epochs take."""
    backbone = load_model(options.model)
    ids = torch.tensor(start_ids(options, encoder))
    current = SoftPrompt(prefix=backbone.embed(ids).detach().float().clone()).parameters()

    def backward(batch: Sequence[Row]) -> float:
        return float(backbone.add_gradient([batch], current, encoder.head)) / sum(len(row.target) for row in batch)

    with products(decided("auto", backbone.device, backbone.lean)):
        title = f"stand-in, learning rate {rate:g}"
        run = documented(title, current.tensors().values(), backward, rows, rate, options.epochs)
    return Curve(run.losses, tuple(probe.seconds_each * (number + 1) for number in range(options.epochs)))


def start_ids(options: argparse.Namespace, encoder: Encoder) -> list[int]:
    """The text that PEFT's vectors start from."""
    ids = encoder.tokenizer(LAB_INSTRUCTION, add_special_tokens=False)["input_ids"]
    return list((ids * -(-options.virtual_tokens // len(ids)))[: options.virtual_tokens])


def documented(
    title: str,
    parameters: Iterable[Tensor],
    backward: Callable[[Sequence[Row]], float],
    rows: Sequence[Row],
    rate: float,
    epochs: int,
) -> Curve:
    """The recipe of PEFT's documentation; `backward` leaves gradients of a batch's mean loss, which it returns."""
    from transformers import get_linear_schedule_with_warmup

    torch.manual_seed(73)
    optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=rate)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, -(-len(rows) // 8) * epochs)
    losses, seconds, began = [], [], time.perf_counter()
    for _ in range(epochs):
        total, count = 0.0, 0
        for chosen in torch.randperm(len(rows)).split(8):
            batch = [rows[i] for i in chosen.tolist()]
            loss = backward(batch)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            tokens = sum(len(row.target) for row in batch)
            total, count = total + loss * tokens, count + tokens
        losses.append(total / count)
        seconds.append(time.perf_counter() - began)
        print(f"{title}: epoch {len(losses)}, loss {losses[-1]:.4f}, {seconds[-1]:.0f} s", flush=True)
    return Curve(tuple(losses), tuple(seconds))


def our_run(options: argparse.Namespace, pairs: Sequence[tuple[str, str]], target: float) -> Curve:
    """Our defaults, whatever they are; the schedule stays that of a whole run, only its end is not waited for."""
    backbone = load_model(options.model)
    losses: list[float] = []
    seconds: list[float] = []
    began = time.perf_counter()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Note):
            print(f"ours: {event.text}")
        elif isinstance(event, events.EpochDone):
            losses.append(event.loss)
            seconds.append(time.perf_counter() - began)
            print(f"ours: epoch {len(losses)}, loss {event.loss:.4f}, {seconds[-1]:.0f} s", flush=True)

    own: dict[str, Any] = {name: value_of(text) for name, text in (each.split("=", 1) for each in options.set)}
    tune(
        [Example(question, answer) for question, answer in pairs],
        model=backbone,
        config=TuneConfig(readout="off", epochs=options.our_epochs, **own),
        listener=listen,
        should_stop=lambda: bool(losses) and losses[-1] <= target,
    )
    return Curve(tuple(losses), tuple(seconds))


def value_of(text: str) -> str | int | float:
    """A number where the text is one."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


if __name__ == "__main__":
    main()
