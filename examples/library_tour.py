"""Softprompt from Python: check data, tune, ask, prove. Run it whole, or paste it cell by cell into a notebook.

    python examples/library_tour.py                          # SmolLM2-135M-Instruct, a few minutes
    python examples/library_tour.py --model FOLDER --rows 24 --epochs 1 --out OUT

What is shown here is all of the public interface; the command line is made of the same six names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softprompt import TunedPrompt, check, evaluate, generate, load_model, tune
from softprompt.data.read import read_examples
from softprompt.params import LAB_INSTRUCTION, GenerateConfig, TuneConfig

HERE = Path(__file__).parent / "complaints"


def main(model: str, out: Path, rows: int | None, epochs: int | None) -> None:
    # --- 1. What is in the data? ----------------------------------------------------------------------------------
    report = check(HERE / "v1.jsonl", test=HERE / "test.jsonl")
    print(f"{report.valid} of {report.rows} rows can be used; task: {report.task}; leaks: {report.leak_count}")
    train, test = (read_examples(HERE / name)[:rows] for name in ("v1.jsonl", "test.jsonl"))

    # --- 2. A frozen model, loaded once ---------------------------------------------------------------------------
    backbone = load_model(model)

    # --- 3. Tune: thirty vectors and a label readout, the model itself stays as it is -----------------------------
    run = tune(train, model=backbone, out=out, config=TuneConfig(init_text=LAB_INSTRUCTION, epochs=epochs))
    print(
        f"{run.updates} updates in {run.seconds:.0f} s, loss {run.epochs[0]['loss']:.2f} → {run.epochs[-1]['loss']:.2f}"
    )
    for note in run.notes:
        print(f"  {note}")

    # --- 4. Ask: the tuned prompt lies in a folder and opens again anywhere the same model is ---------------------
    tuned = TunedPrompt.load(out, backbone=backbone)
    question = "Where are the 2 extra sets of sheets that are supposed to come with my order?!"
    answer = generate(out, question)[0]
    print(f"{question}\n  → {answer.output} ({answer.confidence:.0%} sure, {answer.input_tokens} tokens read)")
    plain = generate(backbone, question, instruction=LAB_INSTRUCTION, config=GenerateConfig(max_new_tokens=12))[0]
    print(f"  without tuning → {plain.output!r}")

    # --- 5. Prove it on rows that nothing was trained on ----------------------------------------------------------
    proof = evaluate(
        test,
        model=backbone,
        methods=["zero-shot", "baseline", tuned],
        instruction=LAB_INSTRUCTION,
        examples=train,
    )
    for method in proof.methods:
        low, high = method.score.interval
        print(
            f"{method.name:32} {method.score.exact:.3f} exact ({low:.2f} to {high:.2f})  {method.ms_per_row:.0f} ms/row"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="id or folder")
    parser.add_argument("--out", type=Path, default=Path("out/complaints"), help="folder of the tuned prompt")
    parser.add_argument("--rows", type=int, help="use the first rows only")
    parser.add_argument("--epochs", type=int, help="default: follows model and data")
    given = parser.parse_args()
    main(given.model, given.out, given.rows, given.epochs)
