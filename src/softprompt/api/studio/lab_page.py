"""A page of the Prompt Lab as JSON: what is sent to be answered, and the file in which a page goes out and comes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from softprompt.api.studio.shapes import Body
from softprompt.studio.lab import MOST_COLUMNS, MOST_ROWS, MOST_STOPS, LabPage, of_dict, to_dict

KIND, VERSION = "softprompt-lab", 1
EXAMPLE: dict[str, Any] = {
    "instruction": "Which department has to know?",
    "examples": [{"input": "The sofa is late.", "output": "Warehouse"}],
    "tries": [{"input": "Two screws are missing.", "expected": "Packaging"}],
    "columns": [{"subject": "model:HuggingFaceTB/SmolLM2-135M-Instruct"}, {"subject": "deployment:routing"}],
}


class LabExample(Body):
    input: str
    output: str


class LabTest(Body):
    input: str
    expected: Annotated[str, Field(description="The right answer, if it is known.")] = ""


class LabParameters(Body):
    """As of `/api/generate`; null is the default."""

    decoding: Literal["greedy", "sample"] = "greedy"
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    stop: Annotated[list[str], Field(max_length=MOST_STOPS)] = []


class LabColumn(Body):
    """Who is asked, and how."""

    subject: Annotated[str, Field(description="`model:ID`, `prompt:ID` or `deployment:ID`; a name will do, too.")] = ""
    shots: Annotated[int | None, Field(ge=0, description="So many of the examples; null: all.")] = None
    words: Annotated[bool, Field(description="Send instruction and examples to a tuned prompt, too.")] = False
    way: Annotated[Literal["auto", "text"], Field(description="auto takes the label readout where there is one.")] = (
        "auto"
    )
    parameters: LabParameters = Field(default_factory=LabParameters)


class LabBody(Body):
    """What stands on a page. In mode `freeform` the prompt is `text`, with `{input}` where a test goes."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    kind: Literal["softprompt-lab"] = "softprompt-lab"
    version: Literal[1] = 1
    mode: Literal["structured", "freeform"] = "structured"
    instruction: str = ""
    input_prefix: str = "Input:"
    output_prefix: str = "Output:"
    examples: Annotated[list[LabExample], Field(max_length=MOST_ROWS)] = []
    text: str = ""
    variables: Annotated[dict[str, str], Field(description="Values of the prompt's {places}.")] = {}
    tries: Annotated[list[LabTest], Field(max_length=MOST_ROWS, description="What is asked.")] = []
    columns: Annotated[list[LabColumn], Field(max_length=MOST_COLUMNS)] = []

    def page(self) -> LabPage:
        return of_dict(self.model_dump())


class PageFile(LabBody):
    """What an exported page looks like; a file says what it is."""

    kind: Literal["softprompt-lab"]
    version: Literal[1]


def exported(page: LabPage) -> dict[str, Any]:
    """The file of a page."""
    return {"kind": KIND, "version": VERSION, **to_dict(page)}
