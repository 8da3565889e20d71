"""A script that leaves work to a Celery task under an ID of its own choice and prints what the task returned."""

from __future__ import annotations

import json
import sys

from celery_app import call as task

from clew import bind

if __name__ == "__main__":
    with bind("job-42"):
        sys.stdout.write(json.dumps(task.delay().get(timeout=20, interval=0.05)))
