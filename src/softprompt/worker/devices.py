"""Whether devices are there, asked of torch in a process of its own: workers and their parent never load it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

from softprompt.errors import ParameterInvalid

WRONG = 2


def need(names: Collection[str]) -> None:
    """Refuse devices that torch does not find here, before anything is begun on them. The processor is always there.

    Raises:
        ParameterInvalid: in the words of those who run models.
    """
    asked = [name for name in dict.fromkeys(names) if name != "cpu"]
    if not asked:
        return
    done = subprocess.run([sys.executable, "-m", __name__, *asked], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == WRONG:
        raise ParameterInvalid(done.stdout.strip())
    if done.returncode:
        raise ParameterInvalid(f"--device {','.join(asked)}: torch could not be asked (exit code {done.returncode}).")


def main(names: Collection[str]) -> int:
    """Say which are not there."""
    from softprompt.engine.loading import find_device

    problems = []
    for name in names:
        try:
            find_device(name)
        except ParameterInvalid as error:
            problems.append(str(error))
    sys.stdout.write("\n".join(problems))
    return WRONG if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
