"""The rooms, each a vertical slice that no other imports, and how a pipeline is found by what a person typed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

from onward.engine.pipeline import Pipeline
from onward.errors import PipelineInvalid
from onward.model.record import CHECKPOINT

ROOMS = {"filings": "filings", "articles": "articles", "tables": "tables", "documents": "documents"}
"""Name on the command line → extra that it needs."""


def find_pipeline(spec: str, *, root: str | None = None) -> Pipeline:
    """Return the pipeline that a person named.

    Args:
        spec: A room, `module:name`, or `path/to/file.py:name`.
        root: Folder that a stored path is relative to; the current folder by default.

    Raises:
        PipelineInvalid: It cannot be found or imported, or is not a pipeline.
    """
    if spec in ROOMS:
        try:
            module = importlib.import_module(f"onward.pipelines.{spec}.pipeline")
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("onward"):
                raise
            msg = f"The pipeline '{spec}' needs '{error.name}': pip install 'onward[{ROOMS[spec]}]'."
            raise PipelineInvalid(msg) from error
        pipeline: object = module.pipeline
    else:
        place, colon, name = spec.rpartition(":")
        if spec == CHECKPOINT:
            msg = "A batch of CheckpointManager is worked through by its own program; submit it there again."
            raise PipelineInvalid(msg)
        if not colon or not place or not name:
            msg = (
                f"'{spec}' is no pipeline. Use {', '.join(ROOMS)}, or your own as module:name or file.py:name."
            )
            raise PipelineInvalid(msg)
        # Bytecode is matched to its source by the second: a helper edited twice in one second at the same size would
        # run as it was, under the fingerprint of what it is. So the user's own code leaves none behind.
        sys.dont_write_bytecode = True
        own = _load_file(os.path.join(root or "", place)) if place.endswith(".py") else _load_module(place)
        pipeline = getattr(own, name, None)
        if pipeline is None:
            msg = f"'{place}' has no '{name}'. Its pipelines: {', '.join(_pipelines_in(own)) or 'none'}."
            raise PipelineInvalid(msg)
    if not isinstance(pipeline, Pipeline):
        msg = f"'{spec}' is a {type(pipeline).__name__}, not a Pipeline."
        raise PipelineInvalid(msg)
    return pipeline


def _pipelines_in(module: object) -> list[str]:
    return sorted(name for name, value in vars(module).items() if isinstance(value, Pipeline))


def _load_module(name: str) -> object:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _unimportable(name, error) from error


def _load_file(path: str) -> object:
    if not os.path.isfile(path):
        msg = f"There is no file '{path}'."
        raise PipelineInvalid(msg)
    absolute = os.path.abspath(path)
    folder = os.path.dirname(absolute)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that it can import the files beside it
    name = os.path.splitext(os.path.basename(absolute))[0]
    spec = importlib.util.spec_from_file_location(name, absolute)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _unimportable(path, error) from error
    return module


def _unimportable(name: str, error: BaseException) -> PipelineInvalid:
    import traceback

    at = ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    own = [frame for frame in frames if frame.filename != __file__]
    if isinstance(error, SyntaxError):
        at = f" ({os.path.basename(error.filename or name)}, line {error.lineno})"
    elif own:
        at = f" ({os.path.basename(own[-1].filename)}, line {own[-1].lineno})"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return PipelineInvalid(f"'{name}' cannot be imported{at}: {type(error).__name__}: {text}.")
