"""What of a run's choices can be refused before a model is loaded."""

from __future__ import annotations

from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt
from softprompt.errors import ParameterInvalid
from softprompt.params import TuneConfig


def check_config(config: TuneConfig) -> None:
    """Refuse what can be refused before a model is loaded: the template, places, a start that is not there."""
    Template(config.template, config.instruction)
    if config.method == "prefix_tuning" and config.place not in (None, "prefix"):
        raise ParameterInvalid(f"place {config.place!r}: prefix tuning has its keys and values in front only.")
    if config.init == "prompt":
        if not config.init_prompt:
            raise ParameterInvalid('init "prompt": name the tuned prompt to start from (--init-prompt FOLDER).')
        TunedPrompt.load(config.init_prompt)
