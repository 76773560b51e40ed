"""Throw schemathesis at the server's OpenAPI document: ``python bench/server_fuzz.py [--examples 20]``.

A server over a road without a model is started with one photo and one finished job, whose ids half of the requests use
to reach the code behind the 404. Every check of schemathesis runs but one: it takes a well-formed request that is
refused for its meaning (person 7 of 3) for a fault.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))


def fuzz(state: Path, examples: int, seed: int) -> int:
    """Run both passes; the exit code is schemathesis's, 0 when it found nothing."""
    from test_serve_process import Process, wait_done

    server = Process(state, pause=0.0)
    try:
        job = server.start_jobs(1)[0]
        status = wait_done(server, job)
        config = state / "schemathesis.toml"
        config.write_text(f'[parameters]\njob_id = "{job}"\nphoto_id = "{status["photo_id"]}"\nindex = 1\n')
        common = [
            "run", f"{server.address}/openapi.json", "--exclude-checks", "positive_data_acceptance",
            "--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing",
            "--continue-on-failure", "--warnings", "off",
        ]  # fmt: skip
        program = [sys.executable, "-m", "schemathesis.cli"]
        known = [*program, "--config-file", str(config), *common, "--exclude-method", "DELETE"]
        return max(subprocess.run(command, cwd=state).returncode for command in (known, [*program, *common]))
    finally:
        server.process.terminate()
        server.process.wait(30)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--examples", type=int, default=20, help="per operation")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as state:
        return fuzz(Path(state), given.examples, given.seed)


if __name__ == "__main__":
    sys.exit(main())
