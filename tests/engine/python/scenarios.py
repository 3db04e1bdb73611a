"""What the scenarios of all engines share: their rows, their jobs, and the lines that tests judge.

A script gets its folder as the first argument, and prints a line of JSON for each scenario.
"""

import json
import os
import pathlib
import shlex
import sys

HERE = pathlib.Path(__file__).resolve().parent
SHIMS = HERE.parents[2] / "src" / "engine" / "python"
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None


def use_shims():
    """Only the driver is to find the shims: tasks get them from the engine."""
    sys.path.insert(0, str(SHIMS))


def table(name="rows"):
    import pyarrow as pa

    with pa.OSFile(str(FOLDER / f"{name}.arrows")) as file:
        return pa.ipc.open_stream(file).read_all()


def plan(scenario, *, worker=None, env=None, **options):
    """A job of three shards by `id`, with values from `body`; options replace, or, with None, remove."""
    import shardy_task

    defaults = {"key": "id", "key_encoding": "u64be", "value": "body", "shards": 3}
    return shardy_task.plan(FOLDER / scenario / "_CURRENT", worker=worker, env=env, **{**defaults, **options})


def troubled(scenario, trouble, command=None):
    """The command of a worker that gets into trouble once: see troubled_worker.py. It runs `shardy`, or the command."""
    mark = FOLDER / f"{scenario}.trouble"
    command = command or shlex.split(os.environ["SHARDY_WORKER"])
    return [sys.executable, str(HERE / "troubled_worker.py"), trouble, str(mark), *command]


def happened(scenario):
    """Whether that worker was in trouble."""
    return (FOLDER / f"{scenario}.trouble").exists()


def run(scenario, function):
    """Prints what the function gives: what was published, and more if it is a pair of that and a dict."""
    told = {"scenario": scenario}
    try:
        published = function()
        if isinstance(published, tuple):
            published, more = published
            told.update(more)
        told["published"] = published
    except Exception as error:
        told["error"] = {
            "type": type(error).__name__,
            "message": str(error),
            "exitCode": getattr(error, "exit_code", None),
        }
    print(json.dumps(told), flush=True)
