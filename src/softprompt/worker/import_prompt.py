"""`python -m softprompt.worker.import_prompt`: reads a stranger's folder for the web, which never loads torch itself.

One JSON object comes in on standard input (folder, out, model, name, template), one goes out: {"card": …} after the
tuned prompt was written to `out`, or {"error": {"code", "message"}}. Decides nothing about who may.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from softprompt.errors import ArtifactError, SoftpromptError, UsageError


def main() -> None:
    try:
        answer: dict[str, Any] = {"card": bring_in(**json.load(sys.stdin))}
    except SoftpromptError as error:
        answer = {"error": {"code": error.code, "message": str(error)}}
    except Exception as error:
        message = f"The folder cannot be imported: {type(error).__name__}: {error}."
        answer = {"error": {"code": ArtifactError.code, "message": message}}
    sys.stdout.write(json.dumps(answer) + "\n")


def bring_in(folder: str, out: str, model: str | None, name: str | None, template: str | None) -> dict[str, Any]:
    """Write the tuned prompt to `out` and give its card."""
    from softprompt.data.template import Template
    from softprompt.engine.artifact import TunedPrompt, is_tuned_prompt
    from softprompt.engine.artifact_card import CARD, read_card
    from softprompt.engine.import_prompt import check_foreign, import_prompt

    source = Path(folder)
    if is_tuned_prompt(source):
        TunedPrompt.load(source).save(out)
    else:
        # What can be refused without loading a model is refused first.
        chosen = None if template is None else Template(text=template)
        check_foreign(source)
        if model is None:
            raise UsageError("model: name the foundation model on which these vectors were trained.")
        from softprompt.engine.loading import load_model

        import_prompt(source, load_model(model), name=name or "Imported prompt", template=chosen).tuned.save(out)
    read_card(Path(out))
    return dict(json.loads((Path(out) / CARD).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
