"""The server over the road without a model, as a process to load, kill and stop.

``serve_fake.py STATE PORT PAUSE [MODEL]``; with a model's folder it is the real road.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fake_road import FakeRoad
from mild.app.cli.serve import listen
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.app.server.road import MildRoad

if __name__ == "__main__":
    models = tuple(sys.argv[4:])
    settings = Settings(
        state=Path(sys.argv[1]),
        hosts=("127.0.0.1",),
        max_queue=64,
        grace_seconds=5.0,
        sync_seconds=600.0,
        models=models or ("mild-small",),
    )
    road = MildRoad() if models else FakeRoad(steps=10, pause=float(sys.argv[3]))
    listen(create_app(settings, road), settings, "127.0.0.1", int(sys.argv[2]))
