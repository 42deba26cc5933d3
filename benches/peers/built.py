"""The programs that scripts take turns with, as cargo builds them."""

import json
import os
import subprocess
from pathlib import Path

PEERS = Path(__file__).resolve().parent


def build(folder, *command, flags=None):
    """Has cargo build what `command` says and gives the path of its binary."""
    environment = os.environ if flags is None else {**os.environ, "RUSTFLAGS": flags}
    command = ["cargo", *command, "--message-format=json"]
    lines = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [path for path in (json.loads(line).get("executable") for line in lines) if path][-1]


def benchmark(name):
    """Builds a benchmark of this workspace and gives the path of its binary."""
    return build(PEERS.parent.parent, "bench", "-p", "conceptrol-benches", "--bench", name, "--no-run")
